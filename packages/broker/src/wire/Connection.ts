/**
 * One client's connection: frames in, frames out, one request at a time. Kafka stops reading a connection while a request of it is under
 * way, so answers come in the order of the requests, and a long poll holds up what was sent behind it.
 */
import { Frame } from "@exactly-once/protocol"

/** What a connection needs of its transport. */
export interface Transport {
  /** Sends bytes; `false` when the peer reads too slowly, and `Connection.drained` will say when to go on. */
  readonly write: (bytes: Uint8Array) => boolean
  /** Ends the connection now; what the peer has not read by then may be lost. */
  readonly close: () => void
  /** Ends the connection once the peer has read what was written. */
  readonly finish: () => void
  /** Asks the transport to stop or to go on delivering bytes. */
  readonly pause: () => void
  readonly resume: () => void
  readonly remoteHost: string
}

/** Takes a request; calls `done` once, with a whole response frame, or with nothing where none is due. */
export type Receive = (
  payload: Uint8Array,
  connection: Connection,
  done: (frame: Uint8Array | undefined) => void
) => void

/** What a connection has agreed on so far; written by the SASL handlers. */
export interface Session {
  clientId: string
  /** Who authenticated; `undefined` until then, where authentication is asked for. */
  principal: string | undefined
  /** Continues a SASL exchange, once a mechanism was chosen. */
  exchange:
    | ((token: Uint8Array) => { readonly error: string } | { readonly token: Uint8Array; readonly principal?: string })
    | undefined
  /** The old handshake is followed by bare tokens, without Kafka's headers. */
  bareTokens: boolean
}

const QUEUE_LIMIT = 1024 * 1024

export class Connection {
  /** Counts from 1 over the life of a broker. */
  readonly id: number
  readonly node: number
  readonly remoteHost: string
  readonly session: Session = { clientId: "", principal: undefined, exchange: undefined, bareTokens: false }
  readonly onClose = new Set<() => void>()
  private readonly transport: Transport
  private readonly receive: Receive
  private readonly splitter: Frame.FrameSplitter
  private queue: Array<Uint8Array> = []
  private queuedBytes = 0
  private paused = false
  private busy = false
  private blocked = false
  private running = false
  private closed = false

  constructor(id: number, node: number, transport: Transport, receive: Receive, maxFrameSize: number) {
    this.id = id
    this.node = node
    this.remoteHost = transport.remoteHost
    this.transport = transport
    this.receive = receive
    this.splitter = new Frame.FrameSplitter(maxFrameSize)
  }

  get isClosed(): boolean {
    return this.closed
  }

  /** Bytes from the peer. A frame that cannot be one ends the connection, as nothing behind it can be understood. */
  push(chunk: Uint8Array): void {
    if (this.closed) return
    try {
      for (const payload of this.splitter.push(chunk)) {
        this.queue.push(payload)
        this.queuedBytes += payload.length
      }
    } catch {
      this.close()
      return
    }
    this.run()
    if (!this.paused && this.queuedBytes > QUEUE_LIMIT) {
      this.paused = true
      this.transport.pause()
    }
  }

  /** The peer has read what was in the way. */
  drained(): void {
    this.blocked = false
    this.run()
  }

  private run(): void {
    // An answer that comes at once finds this loop running: it must not start another one inside it.
    if (this.running) return
    this.running = true
    let next = 0
    while (!this.busy && !this.blocked && !this.closed && next < this.queue.length) {
      const payload = this.queue[next++]!
      this.queuedBytes -= payload.length
      this.busy = true
      this.receive(payload, this, (frame) => this.answered(frame))
    }
    if (next > 0) this.queue = this.queue.slice(next)
    this.running = false
    if (this.paused && this.queuedBytes <= QUEUE_LIMIT / 2 && !this.closed) {
      this.paused = false
      this.transport.resume()
    }
  }

  private answered(frame: Uint8Array | undefined): void {
    if (this.closed || !this.busy) return
    this.busy = false
    if (frame !== undefined && !this.transport.write(frame)) this.blocked = true
    this.run()
  }

  /** Ends the connection; requests under way lose their answers. */
  close(): void {
    this.end(() => this.transport.close())
  }

  /** Ends the connection behind the last answer. */
  finish(): void {
    this.end(() => this.transport.finish())
  }

  private end(close: () => void): void {
    if (this.closed) return
    this.closed = true
    this.queue = []
    close()
    for (const listener of this.onClose) listener()
    this.onClose.clear()
  }
}
