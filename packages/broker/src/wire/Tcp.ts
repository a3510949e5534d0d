/** Plain sockets: the one file that opens them. */
import { createServer, type Server, type Socket } from "node:net"
import type { Accept, Listener, ListenerOptions } from "./Listener.ts"

/** Carries bytes between a socket and the connection that `accept` makes for it. */
export const attach = (socket: Socket, accept: Accept): void => {
  socket.setNoDelay(true)
  const connection = accept({
    write: (bytes) => socket.write(bytes),
    close: () => socket.destroy(),
    finish: () => socket.destroySoon(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    remoteHost: socket.remoteAddress ?? ""
  })
  socket.on("data", (chunk) => connection.push(chunk))
  socket.on("drain", () => connection.drained())
  // A reset or a broken TLS handshake ends this connection and nothing else.
  socket.on("error", () => socket.destroy())
  socket.on("end", () => connection.close())
  socket.on("close", () => connection.close())
}

/** Starts a server and answers where it listens. Closing it ends what connections are left: one that never reads would hold it open. */
export const start = (server: Server, options: ListenerOptions): Promise<Listener> =>
  new Promise((resolve, reject) => {
    const sockets = new Set<Socket>()
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    server.once("error", reject)
    server.listen({ port: options.port, host: options.host, backlog: 2048 }, () => {
      server.off("error", reject)
      server.on("error", () => {})
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : options.port
      resolve({
        host: options.host,
        port,
        close: () =>
          new Promise<void>((done) => {
            server.close(() => done())
            for (const socket of sockets) socket.destroy()
          })
      })
    })
  })

export const listen = (options: ListenerOptions, accept: Accept): Promise<Listener> =>
  start(createServer({ noDelay: true }, (socket) => attach(socket, accept)), options)
