/** A cluster with its listeners and connections: what a broker is before Effect is put around it. */
import { Dispatcher } from "./api/Dispatcher.ts"
import type { Node } from "./api/Served.ts"
import { Cluster, type ClusterSnapshot } from "./cluster/Cluster.ts"
import { type ClusterOptions, defaults, type Environment } from "./cluster/Options.ts"
import type { Partition } from "./cluster/Topic.ts"
import { type FaultRule, Faults, type Step } from "./fault/Faults.ts"
import { realTime } from "./realTime.ts"
import { Credentials, type SaslOptions } from "./security/Credentials.ts"
import { Connection, type Transport } from "./wire/Connection.ts"
import { type Channel, type ChannelHandlers, connect } from "./wire/InProcess.ts"
import type { Accept, Listener, TlsOptions } from "./wire/Listener.ts"
import * as Tcp from "./wire/Tcp.ts"
import * as Tls from "./wire/Tls.ts"

export interface RuntimeOptions extends ClusterOptions {
  /** The address to listen on. */
  readonly host: string
  /** The address that clients are told; the one listened on when left out. */
  readonly advertisedHost: string | undefined
  /** The first node's port, the others follow it; 0 gives every node a free one. */
  readonly port: number
  /** `false` opens no sockets: clients come in by `connect` alone. */
  readonly listen: boolean
  /** Makes every listener speak TLS. */
  readonly tls: TlsOptions | undefined
  /** Makes every connection log in first. */
  readonly sasl: SaslOptions | undefined
  /** `socket.request.max.bytes` */
  readonly maxRequestBytes: number
  readonly faults: ReadonlyArray<FaultRule>
  /** A state to start from, taken by `snapshot` of this or another broker. */
  readonly snapshot: ClusterSnapshot | undefined
  /** Time, timers and randomness; real ones when left out. */
  readonly environment: Environment
}

const runtimeDefaults: RuntimeOptions = {
  ...defaults,
  host: "127.0.0.1",
  advertisedHost: undefined,
  port: 0,
  listen: true,
  tls: undefined,
  sasl: undefined,
  maxRequestBytes: 104_857_600,
  faults: [],
  snapshot: undefined,
  environment: realTime
}

export class Runtime {
  readonly cluster: Cluster
  readonly faults = new Faults()
  /** What handlers threw. Each one is a mistake in this broker. */
  readonly defects: Array<unknown> = []
  private readonly options: RuntimeOptions
  private readonly dispatcher: Dispatcher
  private readonly connections = new Set<Connection>()
  private readonly listeners = new Map<number, Listener>()
  /** Every node, whether or not it runs, where clients find it. */
  private nodes: ReadonlyArray<Node>
  private bound = false
  private connectionCount = 0
  private cancelReturn: (() => void) | undefined
  private stopped = false

  constructor(options: Partial<RuntimeOptions> = {}) {
    this.options = { ...runtimeDefaults, ...options }
    const { faults, nodes, sasl, snapshot } = this.options
    const environment = this.guarded(this.options.environment)
    if (!Number.isInteger(nodes) || nodes < 1) throw new RangeError(`nodes: ${nodes}, at least one is wanted`)
    this.cluster = new Cluster(this.options, environment)
    if (snapshot !== undefined) this.cluster.restore(snapshot)
    for (const rule of faults) this.faults.add(rule)
    this.nodes = Array.from({ length: nodes }, (_, i) => ({ id: i + 1, host: "in-process", port: i + 1 }))
    this.dispatcher = new Dispatcher({
      cluster: this.cluster,
      nodes: () => this.running,
      node: (id) => this.nodes[id - 1]!,
      credentials: sasl === undefined ? undefined : new Credentials(sasl, environment.randomBytes),
      faults: this.faults,
      take: (step) => this.take(step),
      onDefect: (error) => this.defects.push(error)
    })
  }

  /** Timers whose mistakes are noted instead of ending the process, which is the test's as well. */
  private guarded(environment: Environment): Environment {
    return {
      ...environment,
      after: (millis, run) =>
        environment.after(millis, () => {
          try {
            run()
          } catch (error) {
            this.defects.push(error)
          }
        })
    }
  }

  /** Opens the listeners of all nodes that are meant to run. After a restart a node comes back where clients know it. */
  async start(): Promise<void> {
    if (!this.options.listen) return
    const { advertisedHost, port: first } = this.options
    const opened: Array<Node> = []
    try {
      for (const node of this.nodes) {
        if (!this.cluster.nodes.isRunning(node.id)) opened.push(node)
        else {
          const wanted = this.bound ? node.port : first === 0 ? 0 : first + node.id - 1
          const listener = await this.listen(node.id, wanted)
          this.listeners.set(node.id, listener)
          opened.push({ id: node.id, host: advertisedHost ?? listener.host, port: listener.port })
        }
      }
    } catch (error) {
      await this.stop()
      throw error
    }
    this.nodes = opened
    this.bound = true
  }

  private get running(): ReadonlyArray<Node> {
    return this.nodes.filter(({ id }) => this.cluster.nodes.isRunning(id))
  }

  private listen(node: number, port: number): Promise<Listener> {
    const { host, tls } = this.options
    const accept = this.accept(node)
    return tls === undefined ? Tcp.listen({ host, port }, accept) : Tls.listen({ host, port, tls }, accept)
  }

  private accept(node: number): Accept {
    return (transport: Transport) => {
      const { maxRequestBytes } = this.options
      const connection = new Connection(
        ++this.connectionCount,
        node,
        transport,
        this.dispatcher.receive,
        maxRequestBytes
      )
      this.connections.add(connection)
      connection.onClose.add(() => this.connections.delete(connection))
      return connection
    }
  }

  /** `host:port` of every node, for a client's list of bootstrap servers. */
  get addresses(): ReadonlyArray<string> {
    return this.nodes.map(({ host, port }) => `${host}:${port}`)
  }

  /** How many connections are open. */
  get connected(): number {
    return this.connections.size
  }

  /** A connection without a socket. Bytes are handed over by timers of the environment, so that a simulated clock rules them. */
  connect(handlers: ChannelHandlers, node = 1): Channel {
    return connect(this.accept(node), handlers, (run) => void this.options.environment.after(0, run))
  }

  partition(topic: string, index: number): Partition {
    const partition = this.cluster.topics.partition(topic, index)
    if (partition === undefined) throw new RangeError(`There is no partition ${topic}-${index}`)
    return partition
  }

  moveLeader(topic: string, index: number, node?: number): void {
    const partition = this.partition(topic, index)
    this.cluster.moveLeader(partition, node ?? this.cluster.nodes.after(partition.leader))
  }

  moveGroupCoordinator(groupId: string, node?: number): void {
    this.cluster.moveGroupCoordinator(
      groupId,
      node ?? this.cluster.nodes.after(this.cluster.findGroupCoordinator(groupId))
    )
  }

  moveTransactionCoordinator(transactionalId: string, node?: number): void {
    const { cluster } = this
    const next = node ?? this.cluster.nodes.after(cluster.findTransactionCoordinator(transactionalId))
    cluster.moveTransactionCoordinator(transactionalId, next)
  }

  take(step: Step): void {
    switch (step.type) {
      case "fence":
        this.cluster.fence(step.transactionalId)
        return
      case "advance":
        return this.cluster.advance(step.millis, step.scope)
      case "moveGroupCoordinator":
        return this.moveGroupCoordinator(step.groupId, step.node)
      case "moveTransactionCoordinator":
        return this.moveTransactionCoordinator(step.transactionalId, step.node)
      case "moveLeader":
        return this.moveLeader(step.topic, step.partition, step.node)
      case "stopNode":
        this.stopNode(step.node).catch((error: unknown) => this.defects.push(error))
        return
      case "restart":
        this.restart(step.down ?? 0).catch((error: unknown) => this.defects.push(error))
        return
      case "call":
        return step.run()
    }
  }

  /** Cuts connections: all of them, or those to one node. */
  disconnect(node?: number): void {
    for (const connection of [...this.connections]) {
      if (node === undefined || connection.node === node) connection.close()
    }
  }

  /**
   * Stops one node: its listener closes, its connections are cut, and the other nodes take over what it led and coordinated. The last
   * one that runs keeps everything, and nobody can reach it.
   */
  async stopNode(node: number): Promise<void> {
    const listener = this.listeners.get(node)
    this.listeners.delete(node)
    this.cluster.stopNode(node)
    this.disconnect(node)
    await listener?.close()
  }

  /** Starts a stopped node on its old port. It leads nothing until something is moved to it. */
  async startNode(node: number): Promise<void> {
    if (this.cluster.nodes.isRunning(node) || this.nodes[node - 1] === undefined) return
    this.cluster.nodes.start(node)
    if (this.options.listen) this.listeners.set(node, await this.listen(node, this.nodes[node - 1]!.port))
  }

  /** Cuts everyone off, keeps the state, and is back on the same ports after `down` milliseconds. */
  async restart(down = 0): Promise<void> {
    if (down <= 0) {
      this.disconnect()
      this.cluster.restarted()
      return
    }
    const closing = this.closeListeners()
    this.disconnect()
    await closing
    await new Promise<void>((resume) => {
      const cancel = this.options.environment.after(down, resume)
      this.cancelReturn = () => {
        cancel()
        resume()
      }
    })
    this.cancelReturn = undefined
    if (this.stopped) return
    this.cluster.restarted()
    await this.start()
  }

  private async closeListeners(): Promise<void> {
    const listeners = [...this.listeners.values()]
    this.listeners.clear()
    await Promise.all(listeners.map((listener) => listener.close()))
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.cancelReturn?.()
    const closing = this.closeListeners()
    this.disconnect()
    this.cluster.close()
    await closing
  }
}
