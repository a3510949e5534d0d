/**
 * One proxied connection: two loops, client to broker and broker to client, with the faults between them.
 *
 * A request that is held while its client goes away still reaches the broker when it is released: that is what a delayed
 * packet does, and the case in which a late Produce or EndTxn lands in somebody's next transaction.
 */
import { Frame } from "@exactly-once/protocol"
import * as Duration from "effect/Duration"
import type { Socket } from "node:net"
import { type Reroute, rewriteAddresses } from "./addresses.ts"
import {
  answerInstead,
  framed,
  requestBody,
  type RequestHead,
  requestHead,
  rewriteRequest,
  rewriteResponse,
  withError
} from "./codec.ts"
import type { ArmedRule } from "./faultRules.ts"
import type { Phase } from "./journal.ts"
import { refuse } from "./refusals.ts"

/** Bodies above this size are not kept for later inspection. */
const keptBytes = 256 * 1024

/** What a connection needs from the proxy it belongs to. */
export interface RelayContext {
  readonly connection: number
  readonly nextExchange: () => number
  readonly select: (head: RequestHead, body: () => unknown) => ArmedRule | undefined
  /** Counts a firing; answers a promise that ends when a `hold` is released. */
  readonly fire: (rule: ArmedRule, head: RequestHead) => Promise<void>
  /** Ends at once unless this client is frozen. */
  readonly thawed: (clientId: string | null | undefined) => Promise<void> | undefined
  readonly reroute: Reroute
  readonly record: (phase: Phase, exchange: Exchange | undefined) => void
  /** A rule could not be played: a mistake of the test, and no fault to be survived. */
  readonly broken: (error: unknown) => void
}

/** A request on its way. */
export interface Exchange {
  readonly id: number
  readonly head: RequestHead
  /** The request's payload, unless it was too large to keep. */
  readonly request: Uint8Array | undefined
  response: Uint8Array | undefined
}

interface Pending {
  readonly exchange: Exchange
  readonly rule: ArmedRule | undefined
  readonly original: Uint8Array
  /** A duplicate's answer, which the client must not see. */
  readonly swallow: boolean
  /** An answer of the proxy's own making, which waits for its turn. */
  readonly ready: Uint8Array | undefined
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const write = (socket: Socket, payload: Uint8Array): Promise<void> | undefined => {
  if (socket.destroyed || socket.writableEnded) return undefined
  if (socket.write(framed(payload))) return undefined
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done)
      socket.off("close", done)
      resolve()
    }
    socket.once("drain", done)
    socket.once("close", done)
  })
}

export class Relay {
  readonly done: Promise<void>
  clientId: string | null | undefined
  private readonly client: Socket
  private readonly upstream: Socket
  private readonly context: RelayContext
  private readonly pending: Array<Pending> = []
  private readonly detached = new Set<Promise<void>>()

  constructor(client: Socket, upstream: Socket, context: RelayContext) {
    this.client = client
    this.upstream = upstream
    this.context = context
    client.setNoDelay(true)
    upstream.setNoDelay(true)
    // A socket that fails ends its loop; the failure itself is the fault under test and nobody's news.
    client.on("error", () => {})
    upstream.on("error", () => {})
    this.done = Promise.all([this.requests(), this.responses()]).then(() => context.record("closed", undefined))
  }

  cut(): void {
    this.client.destroy()
    this.upstream.destroy()
  }

  private async requests(): Promise<void> {
    const splitter = new Frame.FrameSplitter()
    try {
      for await (const chunk of this.client) {
        // Node's socket without an encoding yields buffers only; its iterator is typed as any.
        for (const payload of splitter.push(chunk as Uint8Array)) await this.played(this.request(payload))
      }
    } catch {
      // The client went away in the middle, or speaks something else.
    }
    await Promise.all(this.detached)
    this.upstream.end()
  }

  private async responses(): Promise<void> {
    const splitter = new Frame.FrameSplitter()
    try {
      for await (const chunk of this.upstream) {
        for (const payload of splitter.push(chunk as Uint8Array)) await this.played(this.response(payload))
      }
    } catch {
      // The broker went away in the middle.
    }
    this.cut()
  }

  private async played(step: Promise<void>): Promise<void> {
    try {
      await step
    } catch (error) {
      this.context.broken(error)
      this.cut()
    }
  }

  private async request(payload: Uint8Array): Promise<void> {
    const { context } = this
    const head = requestHead(payload)
    if (head === undefined) {
      this.cut()
      return
    }
    this.clientId = head.clientId
    await context.thawed(this.clientId)
    const exchange: Exchange = {
      id: context.nextExchange(),
      head,
      request: payload.length <= keptBytes ? payload.slice() : undefined,
      response: undefined
    }
    context.record("received", exchange)
    const rule = context.select(head, () => requestBody(payload, head))
    const pending = { exchange, rule: undefined, original: payload, swallow: false, ready: undefined }
    if (rule === undefined) return this.forward(pending)
    if (rule.rule.when === "after") return this.forward({ ...pending, rule })
    context.record("faulted", exchange)
    const released = context.fire(rule, head)
    const action = rule.rule.do
    if (action === "cut") return this.cut()
    if (action === "drop") return
    if (action === "duplicate") {
      await this.forward(pending)
      return this.forward({ ...pending, swallow: true })
    }
    if (typeof action === "object" && "error" in action) {
      this.pending.push({ ...pending, ready: refuse(payload, head, action.error) })
      return this.deliverReady()
    }
    if (typeof action === "object" && "answer" in action) {
      this.pending.push({ ...pending, ready: answerInstead(payload, head, action.answer) })
      return this.deliverReady()
    }
    if (typeof action === "object" && "rewrite" in action) {
      return this.forward({ ...pending, original: rewriteRequest(payload, head, action.rewrite) })
    }
    return this.later(rule, released, () => this.forward(pending))
  }

  private async response(payload: Uint8Array): Promise<void> {
    const { context } = this
    await context.thawed(this.clientId)
    const id = Frame.correlationId(payload)
    // The broker answers in order and leaves out only what wants no answer (Produce with acks=0).
    while (this.pending[0] !== undefined && this.pending[0].exchange.head.correlationId !== id) this.pending.shift()
    const pending = this.pending.shift()
    if (pending === undefined) {
      await write(this.client, payload)
      return
    }
    const { exchange, rule } = pending
    exchange.response = payload.length <= keptBytes ? payload.slice() : undefined
    context.record("answered", exchange)
    if (!pending.swallow) {
      if (rule === undefined) await this.deliver(exchange, payload)
      else await this.faultAfter(pending, rule, payload)
    }
    await this.deliverReady()
  }

  private async faultAfter(pending: Pending, rule: ArmedRule, payload: Uint8Array): Promise<void> {
    const { context } = this
    const { exchange } = pending
    context.record("faulted", exchange)
    const released = context.fire(rule, exchange.head)
    const action = rule.rule.do
    if (action === "cut") return this.cut()
    if (action === "drop") return
    if (action === "duplicate") {
      await this.forward({ ...pending, rule: undefined, swallow: true })
      return this.deliver(exchange, payload)
    }
    if (typeof action === "object" && "error" in action) {
      return this.deliver(exchange, withError(payload, exchange.head, action.error))
    }
    if (typeof action === "object" && "rewrite" in action) {
      return this.deliver(exchange, rewriteResponse(payload, exchange.head, action.rewrite))
    }
    return this.later(rule, released, () => this.deliver(exchange, payload))
  }

  private async later(rule: ArmedRule, released: Promise<void>, go: () => Promise<void>): Promise<void> {
    const action = rule.rule.do
    const wait = typeof action === "object" && "delay" in action
      ? Promise.race([released, sleep(Duration.toMillis(action.delay))])
      : released
    if (rule.rule.blocks !== false) {
      await wait
      return go()
    }
    const detached: Promise<void> = this.played(wait.then(go)).finally(() => this.detached.delete(detached))
    this.detached.add(detached)
  }

  private async forward(pending: Pending): Promise<void> {
    if (!this.upstream.destroyed && !this.upstream.writableEnded) {
      this.pending.push(pending)
      this.context.record("forwarded", pending.exchange)
    }
    await write(this.upstream, pending.original)
  }

  private async deliverReady(): Promise<void> {
    for (let head = this.pending[0]; head?.ready !== undefined; head = this.pending[0]) {
      this.pending.shift()
      await this.deliver(head.exchange, head.ready)
    }
  }

  private async deliver(exchange: Exchange, payload: Uint8Array): Promise<void> {
    await write(this.client, await rewriteAddresses(payload, exchange.head, this.context.reroute))
    this.context.record("delivered", exchange)
  }
}
