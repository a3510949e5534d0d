import { createServer } from "node:net"

export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)))
  })

const taken = new Set<number>()

/**
 * A port that nobody listens on, below the range that the system hands out to outgoing connections. From that range a
 * client that keeps dialling a broker which is down can be given the broker's own port as its source, connect to itself,
 * and keep the broker from coming back.
 */
export const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 15_000 + Math.floor(Math.random() * 17_000)
    if (taken.has(port) || !await isFree(port)) continue
    taken.add(port)
    return port
  }
  throw new Error("no free port between 15000 and 32000")
}
