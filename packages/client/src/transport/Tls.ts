/** Sockets with TLS: the one file that opens them. */
import * as Effect from "effect/Effect"
import { connect, type ConnectionOptions } from "node:tls"
import type { Address, Channel, Handlers, TransportError } from "../Transport.ts"
import { carry } from "./Tcp.ts"

export type TlsOptions = ConnectionOptions

/** The certificate is checked against the host's name unless `options` say otherwise. */
export const openTls =
  (options: TlsOptions) => (address: Address, handlers: Handlers): Effect.Effect<Channel, TransportError> =>
    Effect.suspend(() => {
      // An IP address is no server name (RFC 6066).
      const servername = /^[\d.]+$|:/.test(address.host) ? {} : { servername: address.host }
      return carry(connect({ ...servername, ...options, ...address }), "secureConnect", handlers)
    })
