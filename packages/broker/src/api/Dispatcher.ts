/**
 * From a frame to a handler and back: versions, authentication, faults. What Kafka cannot understand it answers by closing the connection,
 * and so does this; other connections do not notice.
 */
import { Apis, Frame, type Reader, type RequestHeader } from "@exactly-once/protocol"
import type { Cluster } from "../cluster/Cluster.ts"
import * as Code from "../errorCodes.ts"
import type { FaultAction, Faults, Observed, Step } from "../fault/Faults.ts"
import type { Credentials } from "../security/Credentials.ts"
import type { Connection } from "../wire/Connection.ts"
import { registry, servedBy } from "./registry.ts"
import type { Node, Opened, RequestContext, Served } from "./Served.ts"

export interface DispatcherEnvironment {
  readonly cluster: Cluster
  /** The nodes that run, as clients are told of them. */
  readonly nodes: () => ReadonlyArray<Node>
  readonly node: (id: number) => Node
  readonly credentials: Credentials | undefined
  readonly faults: Faults
  readonly take: (step: Step) => void
  /** A handler threw: a mistake of this broker's. The client gets -1. */
  readonly onDefect: (error: unknown) => void
}

type Done = (frame: Uint8Array | undefined) => void

const API_VERSIONS = 18
/** SaslHandshake, ApiVersions, SaslAuthenticate. */
const BEFORE_LOGIN = new Set([17, API_VERSIONS, 36])
const PREAMBLE = 8

export class Dispatcher {
  private readonly environment: DispatcherEnvironment

  constructor(environment: DispatcherEnvironment) {
    this.environment = environment
  }

  readonly receive = (payload: Uint8Array, connection: Connection, done: Done): void => {
    if (connection.session.bareTokens) return this.bareToken(payload, connection, done)
    if (payload.length < PREAMBLE) return connection.close()
    const { apiKey, apiVersion, correlationId } = Frame.requestPreamble(payload)
    const served = servedBy(apiKey)
    if (served === undefined) return connection.close()
    const { credentials } = this.environment
    if (credentials !== undefined && connection.session.principal === undefined && !BEFORE_LOGIN.has(apiKey)) {
      return connection.close()
    }
    if (apiVersion < served.minVersion || apiVersion > served.maxVersion) {
      return apiKey === API_VERSIONS ? done(unknownVersion(served, correlationId)) : connection.close()
    }
    let opened: Opened
    let context: RequestContext
    try {
      const { header, reader } = Frame.openRequest(Apis.byKey(apiKey)!, payload)
      context = this.contextOf(header, connection)
      opened = read(served, reader, context, correlationId)
    } catch {
      return connection.close()
    }
    if (this.environment.faults.isEmpty) return this.serve(opened, done)
    const observed: Observed = {
      key: apiKey,
      name: served.name,
      clientId: context.clientId,
      connection: connection.id,
      node: connection.node,
      request: opened.request
    }
    this.serveWithFaults(opened, observed, connection, done)
  }

  private contextOf(header: RequestHeader.RequestHeader, connection: Connection): RequestContext {
    const { cluster, credentials, node, nodes } = this.environment
    return {
      cluster,
      credentials,
      connection,
      nodes: nodes(),
      node: node(connection.node),
      clientId: header.clientId ?? "",
      version: header.requestApiVersion,
      served: registry
    }
  }

  private serve(opened: Opened, done: Done): void {
    try {
      opened.serve(done, this.environment.onDefect)
    } catch (error) {
      this.environment.onDefect(error)
      done(opened.refuse(Code.UNKNOWN_SERVER_ERROR))
    }
  }

  private serveWithFaults(opened: Opened, observed: Observed, connection: Connection, done: Done): void {
    const answer = (frame: Uint8Array | undefined) =>
      this.act("after", observed, connection, done, () => done(frame), (code) => done(opened.refuse(code)))
    this.act(
      "before",
      observed,
      connection,
      done,
      () => this.serve(opened, answer),
      (code) => answer(opened.refuse(code))
    )
  }

  private act(
    when: "before" | "after",
    observed: Observed,
    connection: Connection,
    done: Done,
    proceed: () => void,
    refuse: (code: number) => void
  ): void {
    const { cluster, faults, take } = this.environment
    let ending: FaultAction | undefined
    for (const action of faults.match(when, observed)) {
      if (action.type === "step") take(action.step)
      else ending = action
    }
    switch (ending?.type) {
      case undefined:
      case "step":
        // A step may have cut this very connection; a request that was not served yet is then lost with it.
        return when === "before" && connection.isClosed ? undefined : proceed()
      case "delay":
        cluster.environment.after(ending.millis, proceed)
        return
      case "drop":
        return done(undefined)
      case "cut":
        return connection.close()
      case "error":
        return refuse(ending.code)
    }
  }

  /** After SaslHandshake 0 the tokens come without Kafka's headers, and are answered so. */
  private bareToken(token: Uint8Array, connection: Connection, done: Done): void {
    const { session } = connection
    const step = session.exchange?.(token) ?? { error: "no exchange" }
    if ("error" in step) return connection.close()
    if (step.principal !== undefined) {
      session.principal = step.principal
      session.exchange = undefined
      session.bareTokens = false
    }
    const frame = new Uint8Array(4 + step.token.length)
    new DataView(frame.buffer).setInt32(0, step.token.length)
    frame.set(step.token, 4)
    done(frame)
  }
}

const read = (served: Served, reader: Reader, context: RequestContext, correlationId: number): Opened =>
  served.open(reader, correlationId, context)

/** Error 35, in the form of version 0 and with nothing but the versions of ApiVersions itself, so that any client can read it (KIP-511). */
const unknownVersion = ({ key, maxVersion, minVersion }: Served, correlationId: number): Uint8Array =>
  Frame.encodeResponse(
    Apis.ApiVersions,
    { errorCode: Code.UNSUPPORTED_VERSION, apiKeys: [{ apiKey: key, minVersion, maxVersion }] },
    { version: 0, correlationId }
  )
