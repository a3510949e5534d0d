/** A client that says exactly what it is told, in any version, and checks nothing. */
import { type Api, Frame } from "@exactly-once/protocol"
import { connect, type Socket } from "node:net"

export interface SendOptions {
  readonly clientId?: string | null
}

export class RawClient {
  /** Settles when the broker ended the connection, or it was closed here. */
  readonly closed: Promise<void>
  readonly socket: Socket
  private readonly splitter = new Frame.FrameSplitter()
  private readonly waiting = new Map<
    number,
    { resolve: (payload: Uint8Array) => void; reject: (error: Error) => void }
  >()
  private correlationId = 0
  private readonly clientId: string

  private constructor(socket: Socket, clientId: string) {
    this.socket = socket
    this.clientId = clientId
    socket.on("data", (chunk) => {
      for (const payload of this.splitter.push(chunk)) this.take(payload)
    })
    socket.on("error", () => {})
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        for (const { reject } of this.waiting.values()) reject(new Error("closed"))
        this.waiting.clear()
        resolve()
      })
    })
  }

  static open(address: string, clientId = "raw"): Promise<RawClient> {
    const at = address.lastIndexOf(":")
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)), noDelay: true })
      socket.once("error", reject)
      socket.once("connect", () => resolve(new RawClient(socket, clientId)))
    })
  }

  private take(payload: Uint8Array): void {
    const id = Frame.correlationId(payload)
    const waiter = this.waiting.get(id)
    this.waiting.delete(id)
    waiter?.resolve(payload)
  }

  /** Sends a request and answers the decoded response. */
  async call<QI, R>(api: Api<unknown, QI, R, never>, version: number, body: QI, options: SendOptions = {}): Promise<R> {
    const payload = await this.exchange(this.encode(api, version, body, options))
    return Frame.decodeResponse(api, version, payload).body
  }

  /** Sends a request for which no response is due, or none is awaited. */
  post<QI>(api: Api<unknown, QI, unknown, never>, version: number, body: QI): void {
    this.socket.write(this.encode(api, version, body, {}).frame)
  }

  private encode<QI>(api: Api<unknown, QI, unknown, never>, version: number, body: QI, options: SendOptions) {
    const correlationId = ++this.correlationId
    const clientId = options.clientId === undefined ? this.clientId : options.clientId
    return { correlationId, frame: Frame.encodeRequest(api, body, { version, correlationId, clientId }) }
  }

  /** Sends a whole frame and answers the payload of the response with this correlation id. */
  exchange(
    { correlationId, frame }: { readonly correlationId: number; readonly frame: Uint8Array }
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.waiting.set(correlationId, { resolve, reject })
      this.socket.write(frame)
    })
  }

  bytes(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  close(): Promise<void> {
    this.socket.destroy()
    return this.closed
  }
}
