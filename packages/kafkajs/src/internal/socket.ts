/**
 * Sockets for kafkajs's connections. Unlike kafkajs's own factory this one switches Nagle's algorithm off: every request
 * is one write, and a transaction is a chain of small ones.
 */
import { connect, isIP, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import type { SocketFactoryArguments } from "./kafkajsInternals.ts"

export const openSocket = ({ host, port, ssl, onConnect }: SocketFactoryArguments): Socket => {
  const socket: Socket = ssl
    ? connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect)
    : connect({ host, port }, onConnect)
  socket.setKeepAlive(true, 60_000)
  socket.setNoDelay(true)
  return socket
}
