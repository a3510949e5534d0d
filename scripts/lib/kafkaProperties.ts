/** A broker's server.properties, as a pure function of what is wanted. */

/** A further listener for clients; its properties are written with the prefix `listener.name.<name>.`. */
export interface Listener {
  readonly name: string
  readonly protocol: "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL"
  readonly properties?: Readonly<Record<string, string>>
}

/** Where one node of the cluster listens. `extra`: port by name of the further listener. */
export interface NodeAddress {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
  readonly extra: Readonly<Record<string, number>>
}

export interface PropertiesInput {
  readonly node: NodeAddress
  readonly nodes: ReadonlyArray<NodeAddress>
  readonly dataDirectory: string
  readonly profile: "test" | "bench"
  readonly listeners: ReadonlyArray<Listener>
  readonly authorizer: boolean
  /** Has the last word. */
  readonly properties: Readonly<Record<string, string>>
}

/** Kafka's defaults, which measurements hold for, apart from what a single node and a short wait need. */
const common = (brokers: number): Record<string, string> => {
  const replicas = String(brokers)
  const inSync = brokers >= 3 ? "2" : "1"
  return {
    "num.partitions": "4",
    "default.replication.factor": replicas,
    "min.insync.replicas": inSync,
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": inSync,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": inSync,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0"
  }
}

/** Short sessions, few internal partitions, and a dead broker that is noticed soon. */
const forTests: Readonly<Record<string, string>> = {
  "offsets.topic.num.partitions": "5",
  "transaction.state.log.num.partitions": "5",
  "group.min.session.timeout.ms": "1000",
  "group.consumer.min.session.timeout.ms": "1000",
  "group.consumer.min.heartbeat.interval.ms": "100",
  "broker.session.timeout.ms": "3000",
  "broker.heartbeat.interval.ms": "500",
  "log.cleaner.dedupe.buffer.size": "16777216"
}

/** The broker and the controllers speak PLAINTEXT among themselves as this principal. */
const insider = "User:ANONYMOUS"

export const serverProperties = (input: PropertiesInput): Record<string, string> => {
  const { listeners, node, nodes } = input
  const client = [
    `PLAINTEXT://127.0.0.1:${node.port}`,
    ...listeners.map((listener) => `${listener.name}://127.0.0.1:${node.extra[listener.name]}`)
  ]
  const secured = listeners.flatMap((listener) =>
    Object.entries(listener.properties ?? {}).map(([key, value]) =>
      [`listener.name.${listener.name.toLowerCase()}.${key}`, value] as const
    )
  )
  return {
    "process.roles": "broker,controller",
    "node.id": String(node.id),
    "controller.quorum.voters": nodes.map(({ controllerPort, id }) => `${id}@127.0.0.1:${controllerPort}`).join(","),
    "listeners": [...client, `CONTROLLER://127.0.0.1:${node.controllerPort}`].join(","),
    "advertised.listeners": client.join(","),
    "listener.security.protocol.map": [
      "PLAINTEXT:PLAINTEXT",
      "CONTROLLER:PLAINTEXT",
      ...listeners.map(({ name, protocol }) => `${name}:${protocol}`)
    ].join(","),
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": input.dataDirectory,
    ...common(nodes.length),
    ...input.profile === "test" ? forTests : {},
    ...Object.fromEntries(secured),
    ...input.authorizer
      ? {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": insider
      }
      : {},
    ...input.properties
  }
}

/** Java's properties format, for keys and values of printable ASCII. */
export const formatProperties = (properties: Readonly<Record<string, string>>): string =>
  Object.entries(properties).map(([key, value]) => `${key}=${value.replaceAll("\\", "\\\\")}\n`).join("")
