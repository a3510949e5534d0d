/** Requests on sockets, by the generated protocol: the measuring side shares no client with any peer. */
import { type Api, Apis, Frame } from "@exactly-once/protocol"
import { connect, type Socket } from "node:net"

interface Waiting {
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: Error) => void
}

/** One connection; requests may overlap, the broker answers in order. */
class Connection {
  private readonly waiting = new Map<number, Waiting>()
  private readonly socket: Socket
  private next = 0
  private ended: Error | undefined

  constructor(address: string) {
    const colon = address.lastIndexOf(":")
    this.socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), noDelay: true })
    const splitter = new Frame.FrameSplitter()
    this.socket.on("data", (chunk: Uint8Array) => {
      for (const payload of splitter.push(chunk)) {
        const id = Frame.correlationId(payload)
        this.waiting.get(id)?.resolve(payload)
        this.waiting.delete(id)
      }
    })
    this.socket.on("error", (error) => this.end(error))
    this.socket.on("close", () => this.end(new Error(`${address} closed the connection`)))
  }

  private end(error: Error): void {
    this.ended ??= error
    for (const { reject } of this.waiting.values()) reject(this.ended)
    this.waiting.clear()
  }

  async request<I, A>(api: Api<unknown, I, A, never>, version: number, body: I): Promise<A> {
    const correlationId = this.next++
    const payload = await new Promise<Uint8Array>((resolve, reject) => {
      if (this.ended !== undefined) return reject(this.ended)
      this.waiting.set(correlationId, { resolve, reject })
      this.socket.write(Frame.encodeRequest(api, body, { version, correlationId, clientId: "bench" }))
    })
    return Frame.decodeResponse(api, version, payload).body
  }

  close(): void {
    this.socket.destroy()
  }
}

export const check = (code: number, what: string): void => {
  if (code !== 0) throw new Error(`${what}: Kafka's error ${code}`)
}

/** A cluster, and who leads what in it. */
export class Cluster {
  private readonly connections = new Map<string, Connection>()
  private readonly leaders = new Map<string, ReadonlyArray<string>>()
  private readonly bootstrap: string

  constructor(bootstrap: string) {
    this.bootstrap = bootstrap.split(",")[0] ?? bootstrap
  }

  at(address: string): Connection {
    const known = this.connections.get(address)
    if (known !== undefined) return known
    const made = new Connection(address)
    this.connections.set(address, made)
    return made
  }

  any(): Connection {
    return this.at(this.bootstrap)
  }

  /** The leader of each partition; empty while the topic is not there, or one of them has none. */
  async partitions(topic: string): Promise<ReadonlyArray<string>> {
    const known = this.leaders.get(topic)
    if (known !== undefined) return known
    const { brokers, topics } = await this.any().request(Apis.Metadata, 9, {
      topics: [{ name: topic }],
      allowAutoTopicCreation: false
    })
    const addresses = new Map(brokers.map(({ host, nodeId, port }) => [nodeId, `${host}:${port}`]))
    const partitions = topics[0]?.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex) ?? []
    const leaders = partitions.map(({ leaderId }) => addresses.get(leaderId))
    const complete = leaders.filter((leader) => leader !== undefined)
    if (leaders.length === 0 || complete.length < leaders.length) return []
    this.leaders.set(topic, complete)
    return complete
  }

  async coordinator(group: string): Promise<Connection> {
    const { coordinators } = await this.any().request(Apis.FindCoordinator, 4, { keyType: 0, coordinatorKeys: [group] })
    const found = coordinators[0]
    if (found === undefined) throw new Error(`no coordinator for ${group}`)
    check(found.errorCode, `coordinator of ${group}`)
    return this.at(`${found.host}:${found.port}`)
  }

  forget(topic: string): void {
    this.leaders.delete(topic)
  }

  close(): void {
    for (const connection of this.connections.values()) connection.close()
  }
}
