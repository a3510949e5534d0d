/** TLS listeners: the one file that knows of certificates. */
import { createServer } from "node:tls"
import type { Accept, Listener, ListenerOptions, TlsOptions } from "./Listener.ts"
import { attach, start } from "./Tcp.ts"

export const listen = (options: ListenerOptions & { readonly tls: TlsOptions }, accept: Accept): Promise<Listener> => {
  const { ca, cert, key } = options.tls
  const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }
  const server = createServer({ key, cert, ...clients }, (socket) => attach(socket, accept))
  server.on("tlsClientError", (_error, socket) => socket.destroy())
  return start(server, options)
}
