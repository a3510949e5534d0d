/**
 * The proxy's sockets: one listener per broker, opened when an answer first names it, and the relays between.
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import * as Api from "../Api.ts"
import type { Address } from "./addresses.ts"
import { requestBody, responseBody } from "./codec.ts"
import { type ArmedRule, select } from "./faultRules.ts"
import { Journal, type Phase } from "./journal.ts"
import { type Exchange, Relay } from "./relay.ts"

const host = "127.0.0.1"

interface Filter {
  readonly clientId?: string | RegExp
  readonly connection?: number
}

interface Gate {
  readonly filter: Filter
  readonly opened: Promise<void>
}

interface Armed {
  readonly rule: ArmedRule
  readonly fired: () => void
  readonly released: Promise<void>
}

const meant = (filter: Filter, connection: number, clientId: string | null | undefined): boolean => {
  if (filter.connection !== undefined && filter.connection !== connection) return false
  if (filter.clientId === undefined) return true
  if (clientId === null || clientId === undefined) return false
  return typeof filter.clientId === "string" ? filter.clientId === clientId : clientId.search(filter.clientId) >= 0
}

const parse = (address: string): Address => {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
}

export class Hub {
  readonly journal = new Journal()
  /** What went wrong in the proxy itself. */
  readonly problems: Array<unknown> = []
  private readonly listeners = new Map<string, Promise<Server>>()
  private readonly relays = new Map<number, Relay>()
  private readonly armed: Array<Armed> = []
  private readonly gates = new Set<Gate>()
  private connections = 0
  private exchanges = 0
  private refusing = false
  private closed = false

  /** Listens for every bootstrap address; answers the proxy's own. */
  async open(bootstrap: ReadonlyArray<string>): Promise<ReadonlyArray<string>> {
    const addresses: Array<string> = []
    for (const address of bootstrap) {
      const own = await this.reroute(parse(address))
      addresses.push(`${own.host}:${own.port}`)
    }
    return addresses
  }

  readonly reroute = async (address: Address): Promise<Address> => {
    const name = `${address.host}:${address.port}`
    const listener = this.listeners.get(name) ?? this.listen(address, name)
    this.listeners.set(name, listener)
    const bound = (await listener).address()
    if (bound === null || typeof bound === "string") throw new Error(`the listener for ${name} is closed`)
    return { host, port: bound.port }
  }

  private listen(address: Address, name: string): Promise<Server> {
    return new Promise((resolve, reject) => {
      // allowHalfOpen: a client that ends its side may still have a request held here.
      const server = createServer({ allowHalfOpen: true }, (client) => this.accept(client, address, name))
      server.once("error", reject)
      server.listen(0, host, () => resolve(server))
    })
  }

  private accept(client: Socket, address: Address, broker: string): void {
    if (this.refusing || this.closed) {
      client.destroy()
      return
    }
    const connection = this.connections++
    const record = (phase: Phase, exchange: Exchange | undefined) => this.record(phase, connection, broker, exchange)
    record("opened", undefined)
    const relay: Relay = new Relay(client, connect({ ...address, allowHalfOpen: true }), {
      connection,
      nextExchange: () => this.exchanges++,
      select: (head, body) => select(this.armed.map(({ rule }) => rule), head, connection, body),
      fire: (rule) => {
        rule.fired++
        const armed = this.armed.find((candidate) => candidate.rule === rule)
        armed?.fired()
        return armed?.released ?? Promise.resolve()
      },
      thawed: (clientId) => this.thawed(connection, clientId),
      reroute: this.reroute,
      record,
      broken: (error) => this.problems.push(error)
    })
    this.relays.set(connection, relay)
    void relay.done.then(() => this.relays.delete(connection))
  }

  private async thawed(connection: number, clientId: string | null | undefined): Promise<void> {
    for (;;) {
      const gate = [...this.gates].find(({ filter }) => meant(filter, connection, clientId))
      if (gate === undefined) return
      await gate.opened
    }
  }

  private record(phase: Phase, connection: number, broker: string, exchange: Exchange | undefined): void {
    const head = exchange?.head
    this.journal.record({
      phase,
      connection,
      broker,
      exchange: exchange?.id ?? -1,
      api: head === undefined ? "" : Api.nameOf(head.apiKey),
      version: head?.version ?? -1,
      clientId: head?.clientId ?? null,
      request: () => exchange?.request === undefined ? undefined : requestBody(exchange.request, exchange.head),
      response: () => exchange?.response === undefined ? undefined : responseBody(exchange.response, exchange.head)
    })
  }

  /** Puts a rule in force; answers how to release what it holds. */
  add(rule: ArmedRule, fired: () => void): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.armed.push({ rule, fired, released: promise })
    return resolve
  }

  /** Answers how to thaw. */
  freeze(filter: Filter): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    const gate = { filter, opened: promise }
    this.gates.add(gate)
    return () => {
      this.gates.delete(gate)
      resolve()
    }
  }

  sever(filter: Filter): number {
    let cut = 0
    for (const [connection, relay] of this.relays) {
      if (!meant(filter, connection, relay.clientId)) continue
      relay.cut()
      cut++
    }
    return cut
  }

  refuseConnections(refusing: boolean): void {
    this.refusing = refusing
    if (refusing) this.sever({})
  }

  async close(): Promise<void> {
    this.closed = true
    this.sever({})
    for (const listener of this.listeners.values()) {
      // A listener that never came up has nothing to close.
      const server = await listener.catch(() => undefined)
      if (server !== undefined) await new Promise((resolve) => server.close(resolve))
    }
  }
}
