/** How a handler meets the wire: one file per API key says what it does, and becomes an entry of the registry by `serve`. */
import { type Api, Frame, type Reader } from "@exactly-once/protocol"
import type { Cluster } from "../cluster/Cluster.ts"
import { UNKNOWN_SERVER_ERROR } from "../errorCodes.ts"
import type { Credentials } from "../security/Credentials.ts"
import type { Connection } from "../wire/Connection.ts"

/** A node as clients are told of it. */
export interface Node {
  readonly id: number
  readonly host: string
  readonly port: number
}

/** Everything that is not in the request itself. */
export interface RequestContext {
  readonly cluster: Cluster
  readonly nodes: ReadonlyArray<Node>
  /** The node the client is connected to. */
  readonly node: Node
  readonly connection: Connection
  readonly clientId: string
  readonly version: number
  readonly credentials: Credentials | undefined
  readonly served: ReadonlyArray<Served>
}

export interface Behaviour<Q, I> {
  /** Answers at once or later; with nothing where the protocol wants no answer (Produce with acks=0). */
  readonly handle: (request: Q, context: RequestContext, reply: (response: I | undefined) => void) => void
  /** The response that says `error` about everything in the request: for faults, and for a node that cannot serve it. */
  readonly refuse: (request: Q, error: number, context: RequestContext) => I
  /** The lowest version that ApiVersions tells of, where Kafka tells of more than it serves. */
  readonly advertisedFrom?: number
  /** A guess at the size of a response, to write it into one buffer. */
  readonly sizeOf?: (response: I) => number
}

/** A request that was read, and can be served or refused. */
export interface Opened {
  readonly request: unknown
  /** A response that cannot be encoded is a mistake of the handler's: it goes to `onDefect`, and the client gets -1. */
  readonly serve: (reply: (frame: Uint8Array | undefined) => void, onDefect: (error: unknown) => void) => void
  readonly refuse: (error: number) => Uint8Array
}

export interface Served {
  readonly key: number
  readonly name: string
  readonly advertisedFrom: number
  readonly minVersion: number
  readonly maxVersion: number
  readonly flexibleFrom: number
  /** Reads the body; throws `MalformedBytes` when it is not one. */
  readonly open: (reader: Reader, correlationId: number, context: RequestContext) => Opened
}

export const serve = <Q, I>(api: Api<Q, never, unknown, I>, behaviour: Behaviour<Q, I>): Served => ({
  key: api.key,
  name: api.name,
  advertisedFrom: behaviour.advertisedFrom ?? api.minVersion,
  minVersion: api.minVersion,
  maxVersion: api.maxVersion,
  flexibleFrom: api.flexibleFrom,
  open: (reader, correlationId, context) => {
    const { version } = context
    const request = api.request.decode(reader, version)
    const encode = (response: I): Uint8Array =>
      Frame.encodeResponse(api, response, { version, correlationId, sizeHint: behaviour.sizeOf?.(response) })
    const refuse = (error: number): Uint8Array => encode(behaviour.refuse(request, error, context))
    const attempt = (response: I, onDefect: (error: unknown) => void): Uint8Array => {
      try {
        return encode(response)
      } catch (error) {
        onDefect(error)
        return refuse(UNKNOWN_SERVER_ERROR)
      }
    }
    return {
      request,
      refuse,
      // The answer may come much later, in the middle of another client's request: what goes wrong here must not end up there.
      serve: (reply, onDefect) =>
        behaviour.handle(
          request,
          context,
          (response) => reply(response === undefined ? undefined : attempt(response, onDefect))
        )
    }
  }
})
