/**
 * One connection to one broker that sends exactly the requests it is told to: the suite's own instrument, independent of
 * every client under test.
 */
import { type Api, Frame } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { connect as openSocket, type Socket } from "node:net"

/** No answer: the broker cannot be reached, or the connection ended first. */
export class RawError extends Schema.TaggedError<RawError>()("RawError", {
  operation: Schema.String,
  description: Schema.String,
  /** Kafka's error code where a broker answered with one. */
  code: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return `${this.operation}: ${this.description}`
  }
}

export interface RawConnection {
  readonly isOpen: () => boolean
  /** Sends a request in a version and answers with the decoded response, whatever error codes it carries. */
  readonly request: <RequestInput, Response>(
    api: Api<unknown, RequestInput, Response, never>,
    version: number,
    body: RequestInput
  ) => Effect.Effect<Response, RawError>
}

interface Waiting {
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (description: string) => void
}

class Wire {
  private readonly waiting = new Map<number, Waiting>()
  private next = 1
  private ended: string | undefined
  private readonly socket: Socket

  constructor(socket: Socket) {
    this.socket = socket
    const splitter = new Frame.FrameSplitter()
    socket.on("data", (chunk: Uint8Array) => {
      for (const payload of splitter.push(chunk)) {
        const id = Frame.correlationId(payload)
        this.waiting.get(id)?.resolve(payload)
        this.waiting.delete(id)
      }
    })
    socket.on("error", (error) => this.end(error.message))
    socket.on("close", () => this.end("the connection was closed"))
  }

  get isOpen(): boolean {
    return this.ended === undefined
  }

  private end(reason: string): void {
    this.ended ??= reason
    for (const { reject } of this.waiting.values()) reject(reason)
    this.waiting.clear()
  }

  send(encode: (correlationId: number) => Uint8Array, waiting: Waiting): () => void {
    const id = this.next++
    if (this.ended !== undefined) {
      waiting.reject(this.ended)
      return () => {}
    }
    this.waiting.set(id, waiting)
    this.socket.write(encode(id))
    return () => {
      this.waiting.delete(id)
    }
  }
}

const dial = (address: string): Effect.Effect<Socket, RawError> =>
  Effect.callback<Socket, RawError>((resume) => {
    const colon = address.lastIndexOf(":")
    const socket = openSocket({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) })
    socket.setNoDelay(true)
    socket.once("error", (error) =>
      resume(Effect.fail(new RawError({ operation: `connect ${address}`, description: error.message }))))
    socket.once("connect", () =>
      resume(Effect.succeed(socket)))
    return Effect.sync(() => {
      socket.destroy()
    })
  })

/** Connects to `host:port`; the connection closes with the scope. */
export const connect = (address: string, clientId = "testkit"): Effect.Effect<RawConnection, RawError, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(dial(address), (socket) =>
      Effect.sync(() => {
        socket.destroy()
      }))
    const wire = new Wire(socket)
    return {
      isOpen: () => wire.isOpen,
      request: <RequestInput, Response>(
        api: Api<unknown, RequestInput, Response, never>,
        version: number,
        body: RequestInput
      ) =>
        Effect.callback<Response, RawError>((resume) => {
          const stop = wire.send(
            (correlationId) => Frame.encodeRequest(api, body, { version, correlationId, clientId }),
            {
              resolve: (payload) => resume(Effect.sync(() => Frame.decodeResponse(api, version, payload).body)),
              reject: (description) => resume(Effect.fail(new RawError({ operation: api.name, description })))
            }
          )
          return Effect.sync(stop)
        })
    }
  })
