/** Plain sockets: the one file that opens them. */
import * as Effect from "effect/Effect"
import { connect, type Socket } from "node:net"
import { type Address, type Channel, type Handlers, TransportError } from "../Transport.ts"

/** Hands a socket's bytes to `handlers` once `ready` was emitted. */
export const carry = (
  socket: Socket,
  ready: "connect" | "secureConnect",
  handlers: Handlers
): Effect.Effect<Channel, TransportError> =>
  Effect.callback<Channel, TransportError>((resume) => {
    let cause: unknown
    let open = false
    socket.setNoDelay(true)
    socket.on("error", (error) => {
      cause = error
    })
    socket.once("close", () => {
      if (open) return handlers.onClose(cause)
      // A handshake that was refused stays refused; a port nobody listens on may be a broker that starts.
      const refused = ready === "secureConnect" && !socket.connecting && isRefusal(cause)
      resume(Effect.fail(
        new TransportError({
          reason: refused ? "Refused" : "Unreachable",
          cause: cause ?? new Error("the connection was closed while it was opened")
        })
      ))
    })
    socket.once(ready, () => {
      open = true
      socket.on(
        "data",
        (chunk: Buffer) => handlers.onData(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))
      )
      socket.once("end", () => socket.destroy())
      resume(Effect.succeed({
        write: (bytes) => {
          socket.write(bytes)
        },
        close: () => {
          socket.destroy()
        }
      }))
    })
    return Effect.sync(() => {
      if (!open) socket.destroy()
    })
  })

const unreachable = new Set(["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EPIPE"])

const isRefusal = (cause: unknown): boolean => {
  if (!(cause instanceof Error)) return false
  const code: unknown = Reflect.get(cause, "code")
  return typeof code === "string" && !unreachable.has(code) && /CERT|SSL|TLS|SELF_SIGNED|PROTO/.test(code)
}

export const openTcp = (address: Address, handlers: Handlers): Effect.Effect<Channel, TransportError> =>
  Effect.suspend(() => carry(connect({ ...address, noDelay: true }), "connect", handlers))
