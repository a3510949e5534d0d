/**
 * How the client reaches brokers: bytes in, bytes out. Connections are a service, so that the same client runs over
 * sockets, or over function calls to a broker in the same process.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export interface Address {
  readonly host: string
  readonly port: number
}

/** What the client does with what a broker sends. Neither is called before `open` has succeeded. */
export interface Handlers {
  readonly onData: (bytes: Uint8Array) => void
  /** Once, whoever ended it; with the reason when it was not a plain end. */
  readonly onClose: (cause?: unknown) => void
}

/** An open connection. */
export interface Channel {
  /** In order, without waiting. The bytes are the channel's from then on. */
  readonly write: (bytes: Uint8Array) => void
  readonly close: () => void
}

/** No connection came about. `Refused`: the peer or its certificate was not accepted, and will not be the next time. */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", {
  reason: Schema.Literals(["Unreachable", "Refused"]),
  cause: Schema.Defect()
}) {
  override get message() {
    return this.cause instanceof Error ? this.cause.message : String(this.cause)
  }
}

/** @category services @since 0.1.0 */
export class Transport extends Context.Service<Transport, {
  /** Opens a connection; an interruption gives it up. */
  readonly open: (address: Address, handlers: Handlers) => Effect.Effect<Channel, TransportError>
}>()("@exactly-once/client/Transport") {}
