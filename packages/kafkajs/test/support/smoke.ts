import { Driver, Offset, TopicPartition } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Effect } from "effect"
import { Kafka } from "kafkajs"

const bootstrap = [process.env["KAFKA_BOOTSTRAP"] ?? "127.0.0.1:19392"]
const topic = `smoke-${Date.now()}`
const admin = new Kafka({ brokers: bootstrap, logLevel: 1 }).admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] })
await admin.disconnect()

const bytes = (s: string) => new TextEncoder().encode(s)
const program = Effect.gen(function*() {
  const driver = yield* Driver.Driver
  console.log("partitions", yield* driver.admin.partitions(topic))
  const producer = yield* driver.transactionalProducer({
    transactionalId: `${topic}-t`,
    transactionTimeoutMs: 10_000,
    compression: "none"
  })
  console.log(yield* producer.init("Takeover"))
  const t0 = Date.now()
  for (let n = 0; n < 20; n++) {
    const tx = yield* producer.begin
    yield* tx.send(
      topic,
      Array.from(
        { length: 500 },
        (_, i) => ({
          key: bytes(`k${i}`),
          value: bytes(`v${n}-${i}`),
          headers: [["a", bytes("1")], ["b", bytes("2")], ["a", bytes("3")]] as const
        })
      )
    )
    yield* tx.flush
    yield* tx.sendOffsets({
      groupId: `${topic}-g`,
      delivery: null,
      offsets: [{ topic, partition: 0, offset: Offset.offsetUnsafe(BigInt(n)), metadata: `token-${n}` }]
    })
    if (n % 5 === 4) yield* tx.abort
    else yield* tx.commit
  }
  console.log("20 transactions", Date.now() - t0, "ms")
  console.log(yield* driver.admin.committed(`${topic}-g`, [{ topic, partition: 0 }, { topic, partition: 1 }]))
  const tps = [0, 1, 2, 3].map((partition) => ({ topic, partition }))
  console.log(
    yield* driver.admin.offsets(tps, "earliest"),
    yield* driver.admin.offsets(tps, "latest"),
    yield* driver.admin.offsets(tps, "end")
  )
  const consumer = yield* driver.consumer({
    groupId: `${topic}-g2`,
    topics: [topic],
    sessionTimeoutMs: 6000,
    rebalanceTimeoutMs: 10000,
    heartbeatIntervalMs: 500,
    maxBytesPerPartition: 100_000,
    maxWaitMs: 500,
    unreleasedPerPartition: 1,
    member: { replica: "r-0", incarnation: 5n },
    onAssigned: (partitions) => {
      console.log("assigned", partitions.length)
      return Effect.succeed(partitions.map((tp) => ({ ...tp, offset: Offset.offsetUnsafe(0n) })))
    },
    onRevoking: () => Effect.sync(() => console.log("revoking")),
    onLost: () => Effect.sync(() => console.log("lost"))
  })
  let count = 0
  const t1 = Date.now()
  while (count < 16 * 500) {
    for (const batch of yield* consumer.poll) {
      count += batch.records.length
      if (count === batch.records.length) {
        console.log(TopicPartition.format(batch), batch.nextOffset, batch.delivery, batch.records[0])
      }
      yield* consumer.release(batch)
    }
  }
  console.log("read", count, Date.now() - t1, "ms")
  console.log(yield* consumer.members)
  yield* consumer.confirm
  const idem = yield* driver.idempotentProducer({ compression: "gzip", deliveryTimeoutMs: 10000 })
  console.log(yield* idem.send(topic, [{ key: bytes("a"), value: bytes("x") }, { key: null, value: bytes("y") }]))
})
await Effect.runPromise(
  Effect.scoped(program).pipe(Effect.provide(KafkaJs.layer({ bootstrap })), Effect.tapCause((c) => Effect.logError(c)))
)
console.log("done")
