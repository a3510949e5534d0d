import { Kafka, logLevel } from "kafkajs"
import { afterAll, assert, it } from "vitest"
import { describeLive, liveBootstrap } from "../../scripts/vitest/live.ts"
import { createTopic, deleteTopic, ensureInput, stableEnd, verify } from "../lib/Topics.ts"
import { Cluster } from "../lib/Wire.ts"
import { transform } from "../peers/transform.ts"

const RECORDS = 2500

describeLive("the measuring side", () => {
  let cluster: Cluster | undefined
  const connected = () => cluster ??= new Cluster(liveBootstrap().join())
  afterAll(() => cluster?.close())

  it("sees what a transactional copy left out, doubled or left open", async () => {
    const kafka = new Kafka({ brokers: [...liveBootstrap()], logLevel: logLevel.NOTHING })
    const input = await ensureInput(connected(), 2, RECORDS)
    assert.strictEqual(await stableEnd(connected(), input), RECORDS)
    assert.strictEqual(await ensureInput(connected(), 2, RECORDS), input)

    const group = `bench-test-${process.pid}`
    const output = `bench-test-output-${process.pid}`
    await createTopic(connected(), output, 2)
    const look = (patienceMs = 5000) =>
      verify(connected(), { topic: output, expected: RECORDS, input: { group, topic: input }, patienceMs })

    const records: Array<{ readonly key: Buffer | null; readonly value: Buffer; readonly partition: number }> = []
    const consumer = kafka.consumer({ groupId: `${group}-reader` })
    await consumer.connect()
    await consumer.subscribe({ topics: [input], fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer.run({
        eachMessage: async ({ message, partition }) => {
          records.push({ key: message.key, value: transform(message.value ?? Buffer.alloc(0)), partition })
          if (records.length === RECORDS) resolve()
        }
      }).catch(reject)
    })
    await consumer.disconnect()

    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: group })
    await producer.connect()
    const write = async (from: number, to: number) => {
      const transaction = await producer.transaction()
      await transaction.send({ topic: output, messages: records.slice(from, to) })
      return transaction
    }
    const open = await write(0, 2000)
    const unsettled = await look(100)
    assert.deepInclude(unsettled, { count: 0, missing: RECORDS })
    assert.isAbove(unsettled.open, 0)
    await open.abort()
    assert.deepInclude(await look(), { count: 0, open: 0, committed: 0 })

    await (await write(0, 2000)).commit()
    assert.deepInclude(await look(), { count: 2000, missing: 500, duplicates: 0, malformed: 0, open: 0 })
    await (await write(1990, RECORDS)).commit()
    assert.deepInclude(await look(), { count: 2510, missing: 0, duplicates: 10 })

    const spent = await producer.transaction()
    const ends = [0, 1].map((partition) => records.filter((record) => record.partition === partition).length)
    await spent.sendOffsets({
      consumerGroupId: group,
      topics: [{ topic: input, partitions: ends.map((end, partition) => ({ partition, offset: String(end) })) }]
    })
    await spent.commit()
    assert.deepInclude(await look(), { committed: RECORDS, open: 0 })

    await producer.disconnect()
    await deleteTopic(connected(), output)
    await deleteTopic(connected(), input)
  })
})
