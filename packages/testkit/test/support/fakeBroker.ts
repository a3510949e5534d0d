import { Apis, Frame } from "@exactly-once/protocol"
import { Effect } from "effect"
import { createServer, type Socket } from "node:net"

/** A broker of few words: it answers EndTxn, Heartbeat, Produce and Metadata, and remembers what took effect. */
export interface FakeBroker {
  readonly address: string
  readonly applied: Array<string>
  readonly connections: () => number
}

const answer = (payload: Uint8Array, port: number, applied: Array<string>): Uint8Array | undefined => {
  const { apiKey, apiVersion, correlationId } = Frame.requestPreamble(payload)
  const options = { version: apiVersion, correlationId }
  if (apiKey === Apis.EndTxn.key) {
    const { body } = Frame.decodeRequest(Apis.EndTxn, payload)
    applied.push(`EndTxn ${body.committed ? "commit" : "abort"} ${body.transactionalId}`)
    return Frame.encodeResponse(Apis.EndTxn, { throttleTimeMs: 0, errorCode: 0 }, options)
  }
  if (apiKey === Apis.Heartbeat.key) {
    applied.push("Heartbeat")
    return Frame.encodeResponse(Apis.Heartbeat, { errorCode: 0 }, options)
  }
  if (apiKey === Apis.Produce.key) {
    const { body } = Frame.decodeRequest(Apis.Produce, payload)
    applied.push(`Produce acks=${body.acks}`)
    return body.acks === 0 ? undefined : Frame.encodeResponse(Apis.Produce, { responses: [] }, options)
  }
  applied.push("Metadata")
  return Frame.encodeResponse(Apis.Metadata, {
    brokers: [{ nodeId: 1, host: "127.0.0.1", port, rack: null }],
    controllerId: 1,
    topics: []
  }, options)
}

export const fakeBroker = Effect.acquireRelease(
  Effect.callback<FakeBroker & { readonly close: () => void }>((resume) => {
    const applied: Array<string> = []
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      const splitter = new Frame.FrameSplitter()
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      socket.on("data", (chunk: Uint8Array) => {
        for (const payload of splitter.push(chunk)) {
          const response = answer(payload, port, applied)
          if (response !== undefined) socket.write(response)
        }
      })
    })
    let port = 0
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (address !== null && typeof address === "object") port = address.port
      resume(Effect.succeed({
        address: `127.0.0.1:${port}`,
        applied,
        connections: () => sockets.size,
        close: () => {
          for (const socket of sockets) socket.destroy()
          server.close()
        }
      }))
    })
  }),
  (broker) => Effect.sync(() => broker.close())
)
