import { type Driver, Offset, type TopicPartition } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe, Proxy } from "@exactly-once/testkit"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { liveBootstrap } from "../../../../scripts/vitest/live.ts"

const utf8 = new TextEncoder()
const text = new TextDecoder()

export const bytes = (value: string): Uint8Array => utf8.encode(value)

export const record = (key: string | null, value: string) => ({
  key: key === null ? null : bytes(key),
  value: bytes(value)
})

export const valueOf = (read: { readonly value: Uint8Array | null }): string => text.decode(read.value ?? undefined)

/** A driver of its own, closed with the test's scope. */
export const driverOf = (options: Partial<KafkaJs.Options> = {}) =>
  KafkaJs.make({ bootstrap: liveBootstrap(), clientId: "driver", ...options })

/** A probe, a driver, and names nobody else uses. */
export const fresh = (topics: Readonly<Record<string, number>>, options: Partial<KafkaJs.Options> = {}) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const probe = yield* Probe.make(liveBootstrap())
    const name = (part: string) => `${part}-${id}`
    for (const [topic, partitions] of Object.entries(topics)) yield* probe.createTopic(name(topic), partitions)
    return { probe, name, driver: yield* driverOf(options) }
  })

/** The same, with a proxy between the driver and the brokers. */
export const behindProxy = (topics: Readonly<Record<string, number>>, options: Partial<KafkaJs.Options> = {}) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.make({ bootstrap: liveBootstrap() })
    return { proxy, ...(yield* fresh(topics, { bootstrap: proxy.bootstrap, ...options })) }
  })

const transactionTimeoutMs = 10_000

export const producerOf = (
  driver: Driver.Driver["Service"],
  transactionalId: string,
  compression: Driver.Compression = "none"
) => driver.transactionalProducer({ transactionalId, transactionTimeoutMs, compression })

export const offset = (value: number | bigint): Offset.Offset => Offset.Offset.make(BigInt(value))

export const offsetsOf = (groupId: string, tp: TopicPartition.TopicPartition, at: number, metadata = "token") => ({
  groupId,
  delivery: null,
  offsets: [{ ...tp, offset: offset(at), metadata }]
})

/** A group's offset once no transaction has one pending: EndTxn answers before its markers are written. */
export const stableOffset = (probe: Probe.Probe, groupId: string, topic: string, partition = 0) =>
  Effect.gen(function*() {
    for (;;) {
      const found = yield* probe.committed(groupId, topic, partition, { stable: true })
      if (found.code !== 88) return found
      yield* Effect.sleep(10)
    }
  }).pipe(Effect.timeout("10 seconds"))

/** Values of a partition's records as a read_committed reader of the suite's own sees them now. */
export const visibleValues = (probe: Probe.Probe, topic: string, partition = 0) =>
  Effect.gen(function*() {
    const end = yield* probe.offset(topic, partition, "lastStable")
    const values: Array<string> = []
    for (let at = yield* probe.offset(topic, partition, "earliest"); at < end;) {
      const fetched = yield* probe.fetch(topic, partition, at, { isolation: "read_committed" })
      for (const batch of fetched.committed) {
        for (const read of batch.records) if (read.offset >= at) values.push(valueOf(read))
      }
      if (fetched.nextOffset === at) break
      at = fetched.nextOffset
    }
    return values
  })

/** The same, once the markers of ended transactions are written: EndTxn answers before they are. */
export const committedValues = (probe: Probe.Probe, topic: string, partition = 0) =>
  Effect.gen(function*() {
    for (;;) {
      const stable = yield* probe.offset(topic, partition, "lastStable")
      if (stable === (yield* probe.offset(topic, partition, "end"))) break
      yield* Effect.sleep(10)
    }
    return yield* visibleValues(probe, topic, partition)
  }).pipe(Effect.timeout("10 seconds"))

export const failure = <A, R>(effect: Effect.Effect<A, Driver.DriverError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.failure)
