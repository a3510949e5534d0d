import { Apis, Codecs, ControlRecord, RecordBatch, setBaseOffset } from "@exactly-once/protocol"
import { zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { batchOf, NOBODY } from "../Batch.ts"
import { section } from "../suite.ts"

const DAY = 86_400_000
const codecs = Codecs.make({ zstd: { compress: zstdCompressSync, decompress: (bytes) => zstdDecompressSync(bytes) } })

export const batches = section("the form of a Produce request", (check) => {
  check("a base offset other than 0 is refused, any leader epoch is not", async (world) => {
    const topic = await world.topic()
    const shifted = batchOf(NOBODY, {})
    setBaseOffset(shifted, 77n)
    return [
      await world.raw.sendBytes(shifted, { topic }),
      await world.raw.sendBytes(batchOf(NOBODY, {}, { partitionLeaderEpoch: 9 }), { topic })
    ]
  })

  check("two batches for one partition", async (world) => {
    const topic = await world.topic()
    const one = batchOf(NOBODY, {})
    return world.raw.sendBytes(Buffer.concat([one, one]), { topic })
  })

  check(
    "no batch for a partition",
    async (world) => world.raw.sendBytes(new Uint8Array(0), { topic: await world.topic() })
  )

  check("no bytes at all get no answer, and others are served", async (world) => {
    const topic = await world.topic()
    return {
      answered: await world.answers((raw) => raw.sendBytes(null, { topic }, 9)),
      serving: await world.isServing()
    }
  })

  check("half a batch", async (world) => {
    const bytes = batchOf(NOBODY, { values: ["some", "more"] })
    return world.raw.sendBytes(bytes.subarray(0, bytes.length - 8), { topic: await world.topic() })
  })

  check("a batch and some bytes of another", async (world) => {
    const bytes = batchOf(NOBODY, {})
    return world.raw.sendBytes(Buffer.concat([bytes, bytes.subarray(0, 30)]), { topic: await world.topic() })
  })

  check("a wrong checksum", async (world) => {
    const bytes = batchOf(NOBODY, {})
    bytes[20] = bytes[20]! ^ 1
    return world.raw.sendBytes(bytes, { topic: await world.topic() })
  })

  for (const magic of [0, 1, 3]) {
    check(`a batch of format ${magic}`, async (world) => {
      const bytes = batchOf(NOBODY, {})
      bytes[16] = magic
      return world.raw.sendBytes(bytes, { topic: await world.topic() })
    })
  }

  check(
    "a control batch from a client",
    async (world) => world.raw.send(NOBODY, { topic: await world.topic(), control: true })
  )

  check("a control batch from a client, in its open transaction", async (world) => {
    const topic = await world.topic()
    const producer = await world.ongoing(topic)
    const marker = ControlRecord.encodeMarker({
      type: ControlRecord.COMMIT,
      producerId: producer.producerId,
      producerEpoch: producer.epoch,
      coordinatorEpoch: 0,
      timestamp: BigInt(Date.now())
    })
    return [
      await world.raw.send(producer, { topic, sequence: 1, control: true }),
      await world.raw.sendBytes(marker, { topic, as: world.id }),
      await world.raw.sendBytes(marker, { topic }),
      await world.raw.ends(topic)
    ]
  })

  check("more than the topic takes", async (world) => {
    const topic = await world.topic(1, { "max.message.bytes": "200" })
    return [
      await world.raw.send(NOBODY, { topic, values: ["x".repeat(200)] }),
      await world.raw.send(NOBODY, { topic, values: ["x"] })
    ]
  })

  check("a record without a key for a topic that is compacted", async (world) => {
    const topic = await world.topic(1, { "cleanup.policy": "compact" })
    return [await world.raw.send(NOBODY, { topic }), await world.raw.send(NOBODY, { topic, key: "k" })]
  })

  check("times too far from the broker's", async (world) => {
    const topic = await world.topic()
    const now = Date.now()
    return [
      await world.raw.send(NOBODY, { topic, timestamp: now + 2 * DAY }),
      await world.raw.send(NOBODY, { topic, timestamp: now - 400 * DAY }),
      await world.raw.send(NOBODY, { topic, timestamp: 1_000 })
    ]
  })

  check("a topic may take times of any past, and not of any future", async (world) => {
    const limits = { "message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "60000" }
    const topic = await world.topic(1, limits)
    return [
      await world.raw.send(NOBODY, { topic, timestamp: Date.now() - 60_000 }),
      await world.raw.send(NOBODY, { topic, timestamp: Date.now() + 30_000 }),
      await world.raw.send(NOBODY, { topic, timestamp: Date.now() + 120_000 })
    ]
  })

  check("a topic with the broker's own times gives them to records and answers", async (world) => {
    const topic = await world.topic(1, { "message.timestamp.type": "LogAppendTime" })
    const sent = await world.raw.client.call(Apis.Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1_000,
      topicData: [{ name: topic, partitionData: [{ index: 0, records: batchOf(NOBODY, { timestamp: 1_000 }) }] }]
    })
    const { errorCode, logAppendTimeMs, logStartOffset } = sent.responses[0]!.partitionResponses[0]!
    const { records } = await world.raw.fetch({ topic })
    const [batch] = RecordBatch.split(records!).batches
    return {
      error: errorCode,
      start: Number(logStartOffset),
      stamped: batch!.isLogAppendTime,
      same: batch!.maxTimestamp === logAppendTimeMs && batch!.records()[0]!.timestamp === logAppendTimeMs,
      recent: Date.now() - Number(logAppendTimeMs) < DAY,
      valid: batch!.isValid()
    }
  })

  check("otherwise the answer has no time", async (world) => {
    const topic = await world.topic()
    const sent = await world.raw.client.call(Apis.Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1_000,
      topicData: [{ name: topic, partitionData: [{ index: 0, records: batchOf(NOBODY, {}) }] }]
    })
    return Number(sent.responses[0]!.partitionResponses[0]!.logAppendTimeMs)
  })

  for (const acks of [2, -2]) {
    check(`acks ${acks}`, async (world) => world.raw.send(NOBODY, { topic: await world.topic(), acks }))
  }

  check("fewer replicas than the topic asks for", async (world) => {
    const topic = await world.topic(1, { "min.insync.replicas": "2" })
    return [await world.raw.send(NOBODY, { topic }), await world.raw.send(NOBODY, { topic, acks: 1 })]
  })

  for (const version of [3, 9, 12]) {
    check(`a topic or partition that is not there, version ${version}`, async (world) => {
      const topic = await world.topic()
      return [
        await world.raw.send(NOBODY, { topic: world.name("none") }, version),
        await world.raw.send(NOBODY, { topic, partition: 1 }, version),
        await world.raw.send(NOBODY, { topic, partition: -1 }, version)
      ]
    })
  }

  check("a topic id that is not there, or none, version 13", async (world) => {
    const topic = await world.topic()
    const answers = []
    for (const topicId of ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAQ", "Zm9vYmFyYmF6cXV1eHF1dQ"]) {
      const answer = await world.raw.client.call(Apis.Produce, 13, {
        transactionalId: null,
        acks: -1,
        timeoutMs: 1_000,
        topicData: [{ topicId, partitionData: [{ index: 0, records: batchOf(NOBODY, {}) }] }]
      })
      answers.push(answer.responses[0]!.partitionResponses[0]!.errorCode)
    }
    return [
      ...answers,
      await world.raw.send(NOBODY, { topic }, 13),
      await world.raw.send(NOBODY, { topic, partition: 7 }, 13)
    ]
  })

  check(
    "a batch for the topic of the groups' offsets",
    (world) => world.raw.send(NOBODY, { topic: "__consumer_offsets", key: "k" })
  )

  check("one partition's error does not hold up the other one", async (world) => {
    const topic = await world.topic(2)
    const answer = await world.raw.client.call(Apis.Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1_000,
      topicData: [{
        name: topic,
        partitionData: [0, 5, 1].map((index) => ({ index, records: batchOf(NOBODY, {}) }))
      }]
    })
    return answer.responses[0]!.partitionResponses
      .toSorted((a, b) => a.index - b.index)
      .map(({ baseOffset, errorCode, index }) => [index, errorCode, Number(baseOffset)])
  })

  check("zstd needs version 7", async (world) => {
    const topic = await world.topic()
    const bytes = batchOf(NOBODY, {}, { compression: 4, codecs })
    return [await world.raw.sendBytes(bytes, { topic }, 6), await world.raw.sendBytes(bytes, { topic }, 7)]
  })

  check("an error without an answer due ends the connection", async (world) => {
    const topic = world.name("none")
    return world.closes(async (raw) => {
      raw.client.post(Apis.Produce, 9, {
        transactionalId: null,
        acks: 0,
        timeoutMs: 1_000,
        topicData: [{ name: topic, partitionData: [{ index: 0, records: batchOf(NOBODY, {}) }] }]
      })
      await raw.client.call(Apis.Metadata, 9, { topics: [] })
    })
  })
})
