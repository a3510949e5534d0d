/**
 * Asks a broker whether it can be worked with, in the few bytes that this takes: Metadata v1 and FindCoordinator v1,
 * whose layouts stand on Kafka's protocol page.
 */
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

const clientId = Buffer.from("probe")

const string = (text: string) => {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(2)
  length.writeInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** One request, one connection; the body of the answer after its correlation id. */
const ask = (host: string, port: number, apiKey: number, apiVersion: number, body: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const head = Buffer.alloc(14)
    head.writeInt32BE(10 + clientId.length + body.length, 0)
    head.writeInt16BE(apiKey, 4)
    head.writeInt16BE(apiVersion, 6)
    head.writeInt32BE(1, 8)
    head.writeInt16BE(clientId.length, 12)
    const socket = connect({ host, port })
    let received = Buffer.alloc(0)
    const fail = (error: Error) => {
      socket.destroy()
      reject(error)
    }
    socket.setTimeout(3000, () => fail(new Error(`${host}:${port} does not answer`)))
    socket.once("error", fail)
    socket.once("close", () => reject(new Error(`${host}:${port} closed the connection`)))
    socket.once("connect", () => socket.write(Buffer.concat([head, clientId, body])))
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 8 || received.length < 4 + received.readInt32BE(0)) return
      resolve(received.subarray(8))
      socket.end()
    })
  })

/** Ids of the brokers that are registered and not fenced, as seen by the one asked. */
export const liveBrokers = async (host: string, port: number): Promise<ReadonlyArray<number>> => {
  const answer = await ask(host, port, 3, 1, Buffer.from([0, 0, 0, 0]))
  const ids: Array<number> = []
  let at = 4
  for (let left = answer.readInt32BE(0); left > 0; left--) {
    ids.push(answer.readInt32BE(at))
    at += 4
    at += 2 + answer.readInt16BE(at) + 4
    at += 2 + Math.max(0, answer.readInt16BE(at))
  }
  return ids
}

/** Error code of FindCoordinator: 0 when the coordinator of this group or transactional id can be asked. */
const coordinator = async (host: string, port: number, kind: "group" | "transaction"): Promise<number> => {
  const answer = await ask(host, port, 10, 1, Buffer.concat([string("probe"), Buffer.from([kind === "group" ? 0 : 1])]))
  return answer.readInt16BE(4)
}

/**
 * Waits until the broker knows `brokers` live ones and both coordinators have leaders. Asking for a coordinator creates
 * Kafka's internal topics, which would otherwise happen within the first test's patience.
 */
export const awaitReady = async (
  address: { readonly host: string; readonly port: number; readonly brokers: number },
  options: { readonly timeoutMs: number; readonly alive: () => boolean }
): Promise<boolean> => {
  const { brokers, host, port } = address
  const deadline = Date.now() + options.timeoutMs
  while (Date.now() < deadline && options.alive()) {
    try {
      const live = await liveBrokers(host, port)
      if (
        live.length >= brokers && await coordinator(host, port, "group") === 0 &&
        await coordinator(host, port, "transaction") === 0
      ) return true
    } catch {
      // not listening yet
    }
    await sleep(50)
  }
  return false
}
