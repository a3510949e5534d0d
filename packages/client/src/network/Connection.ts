/**
 * One connection to one broker: requests out in order, answers in the same order. Plain callbacks, one owner, no effect
 * per request. When it ends, every request that waits is told whether it can have left this process.
 */
import { type Api, Frame } from "@exactly-once/protocol"
import type { Channel } from "../Transport.ts"
import type { Environment } from "./environment.ts"
import { answered, type Failure, Refused, unanswered } from "./failure.ts"
import { choose, type Range } from "./versions.ts"

interface Pending {
  readonly api: string
  readonly correlationId: number
  readonly deadline: number
  readonly frame: Uint8Array
  /** Reads the answer; what it answers hands the message on. */
  readonly read: (payload: Uint8Array) => () => void
  readonly fail: (failure: Failure) => void
}

export interface ConnectionOptions {
  readonly channel: Channel
  readonly environment: Environment
  readonly clientId: string
  /** Requests on the wire at once; further ones wait here and count as not sent. */
  readonly maxInFlight: number
  /** The largest answer that is accepted, in bytes. */
  readonly maxFrameBytes: number
}

export interface RequestOptions {
  readonly timeoutMs: number
  /** The highest version to use; what both sides speak when left out. */
  readonly maxVersion?: number | undefined
  readonly sizeHint?: number | undefined
}

export class Connection {
  private readonly options: ConnectionOptions
  private readonly splitter: Frame.FrameSplitter
  private readonly waiting: Array<Pending> = []
  private inFlight: Array<Pending> = []
  private nextCorrelationId = 0
  private endedBy: unknown
  private isEnded = false
  private lastUse: number
  private alarm: { readonly at: number; readonly cancel: () => void } | undefined
  /** API versions of the broker by key. */
  versions: ReadonlyMap<number, Range> = new Map()
  /** When the broker is about to end it, in milliseconds since 1970: what is asked later should go elsewhere. */
  expiresAt = Number.POSITIVE_INFINITY

  constructor(options: ConnectionOptions) {
    this.options = options
    this.splitter = new Frame.FrameSplitter(options.maxFrameBytes)
    this.lastUse = options.environment.now()
  }

  get isOpen(): boolean {
    return !this.isEnded
  }

  /** Nothing waits here and its time is over, or nobody has used it for so long that the broker may be closing it. */
  isSpent(maxIdleMs: number): boolean {
    const now = this.options.environment.now()
    return this.inFlight.length === 0 && (now >= this.expiresAt || now - this.lastUse > maxIdleMs)
  }

  /** The version in which a request would go out; `undefined` when the broker speaks none that we do. */
  version(api: { readonly key: number }, maxVersion?: number): number | undefined {
    return choose(this.versions, api.key, maxVersion)
  }

  /** Sends a request in the highest version that both sides speak. Exactly one of the two is called, never at once. */
  request<I, O>(
    api: Api<unknown, I, O, never>,
    body: I,
    options: RequestOptions,
    onAnswer: (body: O) => void,
    onFailure: (failure: Failure) => void
  ): void {
    const version = this.version(api, options.maxVersion)
    if (version === undefined) queueMicrotask(() => onFailure({ ...answered(api.name, 35), sent: false }))
    else this.requestIn(version, api, body, options, onAnswer, onFailure)
  }

  /** The same in a given version: for the exchange that finds the versions out. */
  requestIn<I, O>(
    version: number,
    api: Api<unknown, I, O, never>,
    body: I,
    { sizeHint, timeoutMs }: RequestOptions,
    onAnswer: (body: O) => void,
    onFailure: (failure: Failure) => void
  ): void {
    if (this.isEnded) {
      const cause = this.endedBy
      queueMicrotask(() => onFailure(unanswered(api.name, false, cause)))
      return
    }
    const { clientId, environment } = this.options
    const correlationId = this.nextCorrelationId
    this.nextCorrelationId = (correlationId + 1) & 0x7fffffff
    let frame: Uint8Array
    try {
      frame = Frame.encodeRequest(api, body, { version, correlationId, clientId, sizeHint })
    } catch (cause) {
      const refused = new Refused("Fatal", `${api.name} cannot be encoded: ${String(cause)}`)
      queueMicrotask(() => onFailure(unanswered(api.name, false, refused)))
      return
    }
    const deadline = environment.now() + timeoutMs
    this.waiting.push({
      api: api.name,
      correlationId,
      deadline,
      frame,
      read: (payload) => {
        const message = Frame.decodeResponse(api, version, payload).body
        return () => onAnswer(message)
      },
      fail: onFailure
    })
    this.watch(deadline)
    this.flush()
  }

  private flush(): void {
    const { channel, environment, maxInFlight } = this.options
    while (this.inFlight.length < maxInFlight) {
      const next = this.waiting.shift()
      if (next === undefined) return
      this.lastUse = environment.now()
      this.inFlight.push(next)
      channel.write(next.frame)
    }
  }

  private watch(deadline: number): void {
    if (this.alarm !== undefined && this.alarm.at <= deadline) return
    this.alarm?.cancel()
    const { environment } = this.options
    this.alarm = {
      at: deadline,
      cancel: environment.after(Math.max(1, deadline - environment.now()), () => {
        this.alarm = undefined
        this.checkDeadlines()
      })
    }
  }

  private checkDeadlines(): void {
    const now = this.options.environment.now()
    let earliest = Number.POSITIVE_INFINITY
    for (const { api, deadline } of [...this.inFlight, ...this.waiting]) {
      // Answers come in order, so nothing behind an answer that does not come can be had from this connection.
      if (deadline <= now) return this.close(new Error(`${api} was not answered in time`))
      earliest = Math.min(earliest, deadline)
    }
    if (Number.isFinite(earliest)) this.watch(earliest)
  }

  /** Bytes from the broker. */
  receive(bytes: Uint8Array): void {
    if (this.isEnded) return
    let payloads: ReadonlyArray<Uint8Array>
    try {
      payloads = this.splitter.push(bytes)
    } catch (cause) {
      return this.close(cause)
    }
    for (const payload of payloads) {
      if (this.isEnded) return
      const next = this.inFlight[0]
      let handOn: () => void
      try {
        if (next === undefined || Frame.correlationId(payload) !== next.correlationId) {
          throw new Error("the broker sent an answer that nobody waits for: is this a Kafka listener?")
        }
        handOn = next.read(payload)
      } catch (cause) {
        // What cannot be read is no answer, and what follows it cannot be trusted either.
        return this.close(cause)
      }
      this.inFlight.shift()
      handOn()
    }
    this.flush()
  }

  /** Ends the connection; what waits fails, each request with the knowledge whether it was sent. */
  close(cause: unknown): void {
    if (this.isEnded) return
    this.isEnded = true
    this.endedBy = cause
    this.alarm?.cancel()
    this.alarm = undefined
    const { inFlight } = this
    const waiting = this.waiting.splice(0)
    this.inFlight = []
    this.options.channel.close()
    for (const { api, fail } of inFlight) fail(unanswered(api, true, cause))
    for (const { api, fail } of waiting) fail(unanswered(api, false, cause))
  }
}
