import { assert, describe, it } from "@effect/vitest"
import {
  advanceSequence,
  Apis,
  BatchBuilder,
  Codecs,
  ControlRecord,
  CorruptBatch,
  Crc32c,
  Frame,
  MalformedBytes,
  RecordBatch,
  type RecordInput,
  RecordView,
  setBaseOffset,
  setPartitionLeaderEpoch,
  setProducer,
  UnencodableValue,
  UnknownCodec
} from "@exactly-once/protocol"
import { capturedFrames, hex } from "./frames.ts"
import { javaBatches, type JavaRecord } from "./javaFixtures.ts"
import { Random } from "./random.ts"

const hexOrNull = (bytes: Uint8Array | null): string | null => bytes === null ? null : hex(bytes)

const one = (bytes: Uint8Array): RecordBatch => {
  const { batches, trailing } = RecordBatch.split(bytes)
  assert.strictEqual(batches.length, 1)
  assert.strictEqual(trailing, 0)
  return batches[0]!
}

const plainly = (record: RecordView) => ({
  offset: String(record.offset),
  timestamp: String(record.timestamp),
  key: hexOrNull(record.key),
  value: hexOrNull(record.value),
  headers: record.headers.map(({ key, value }) => [hex(new TextEncoder().encode(key)), hexOrNull(value)] as const)
})

const inputOf = (record: JavaRecord): RecordInput => ({
  timestamp: BigInt(record.timestamp),
  key: record.key === null ? null : Buffer.from(record.key, "hex"),
  value: record.value === null ? null : Buffer.from(record.value, "hex"),
  headers: record.headers.map(([key, value]) => ({
    key: Buffer.from(key, "hex").toString("utf8"),
    value: value === null ? null : Buffer.from(value, "hex")
  }))
})

const rebuild = (batch: RecordBatch, records: ReadonlyArray<RecordInput>): Uint8Array => {
  const builder = new BatchBuilder(61)
  for (const record of records) {
    const expected = builder.sizeWith(record)
    builder.append(record)
    assert.strictEqual(builder.sizeInBytes, expected)
  }
  return builder.finish({
    baseOffset: batch.baseOffset,
    partitionLeaderEpoch: batch.partitionLeaderEpoch,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl
  })
}

const capturedBatches = capturedFrames.flatMap(({ apiKey, direction, payload, version }) => {
  const blobs = apiKey === Apis.Produce.key && direction === "request"
    ? Frame.decodeRequest(Apis.Produce, payload).body.topicData.flatMap((topic) =>
      topic.partitionData.map((one) => one.records)
    )
    : apiKey === Apis.Fetch.key && direction === "response"
    ? Frame.decodeResponse(Apis.Fetch, version, payload).body.responses.flatMap((topic) =>
      topic.partitions.map((one) => one.records)
    )
    : []
  return blobs.flatMap((blob) => blob === null ? [] : RecordBatch.split(blob).batches)
})

describe("record batches of Java and other clients", () => {
  it("are read record by record as Java reads them", () => {
    for (const { bytes, name, records } of javaBatches.filter(({ name }) => name === "plain" || name === "extremes")) {
      const batch = one(Buffer.from(bytes, "hex"))
      batch.verify()
      assert.deepStrictEqual(batch.records().map(plainly), records.map((record) => ({ ...record })), name)
      assert.strictEqual(batch.producerId, 9_000_000_001n)
      assert.deepStrictEqual([batch.producerEpoch, batch.baseSequence, batch.partitionLeaderEpoch], [7, 12, 3])
      assert.strictEqual(batch.lastSequence, 12 + batch.count - 1)
      assert.isTrue(batch.isTransactional)
      assert.isFalse(batch.isControl)
      assert.isFalse(batch.isLogAppendTime)
    }
  })

  it("are built byte for byte as Java builds them, timestamps at the ends of their range included", () => {
    for (const { bytes, name, records } of javaBatches.filter(({ name }) => name === "plain" || name === "extremes")) {
      const batch = one(Buffer.from(bytes, "hex"))
      assert.strictEqual(hex(rebuild(batch, records.map(inputOf))), bytes, name)
    }
  })

  it("in captured frames are valid and are rebuilt byte for byte, markers included", () => {
    assert.isAtLeast(capturedBatches.length, 90)
    assert.isAtLeast(capturedBatches.filter((batch) => batch.isControl).length, 5)
    for (const batch of capturedBatches) {
      assert.isTrue(batch.isValid())
      const records = batch.records().map((record) => ({
        key: record.key,
        value: record.value,
        headers: record.headers,
        timestamp: record.timestamp
      }))
      assert.strictEqual(hex(rebuild(batch, records)), hex(batch.bytes))
    }
  })
})

const randomRecord = (random: Random): RecordInput => ({
  key: random.chance(20) ? null : random.bytes(random.below(random.chance(10) ? 200 : 12)),
  value: random.chance(20) ? null : random.bytes(random.below(random.chance(10) ? 5000 : 60)),
  headers: Array.from({ length: random.chance(70) ? 0 : 1 + random.below(4) }, () => ({
    key: random.text(),
    value: random.chance(30) ? null : random.bytes(random.below(20))
  })),
  timestamp: random.chance(70) ? 1_700_000_000_000 + random.below(100_000) - 50_000 : random.int64()
})

describe("BatchBuilder", () => {
  it("what it builds is read back, whatever the records", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed)
      const records = Array.from({ length: 1 + random.below(random.chance(5) ? 300 : 12) }, () => randomRecord(random))
      const builder = new BatchBuilder(61)
      for (const record of records) {
        const expected = builder.sizeWith(record)
        builder.append(record)
        assert.strictEqual(builder.sizeInBytes, expected, `seed ${seed}`)
      }
      const baseOffset = random.int64() / 2n
      const bytes = builder.finish({ baseOffset })
      assert.strictEqual(bytes.length, builder.sizeInBytes)
      const batch = one(bytes)
      batch.verify()
      assert.deepStrictEqual(
        batch.records().map(plainly),
        records.map((record, index) => ({
          offset: String(baseOffset + BigInt(index)),
          timestamp: String(record.timestamp),
          key: hexOrNull(record.key ?? null),
          value: hexOrNull(record.value ?? null),
          headers: (record.headers ?? []).map(({ key, value }) =>
            [hex(new TextEncoder().encode(key)), hexOrNull(value)] as const
          )
        })),
        `seed ${seed}`
      )
      const timestamps = records.map((record) => BigInt(record.timestamp))
      assert.strictEqual(batch.maxTimestamp, timestamps.reduce((a, b) => (a > b ? a : b)), `seed ${seed}`)
      assert.strictEqual(batch.baseTimestamp, timestamps[0])
      assert.strictEqual(batch.producerId, -1n)
      assert.deepStrictEqual([batch.producerEpoch, batch.baseSequence, batch.lastSequence], [-1, -1, -1])
    }
  })

  it("starts the next batch after a reset", () => {
    const builder = new BatchBuilder()
    builder.append({ timestamp: 5, value: new Uint8Array(3) })
    const first = builder.finish().slice()
    builder.reset()
    builder.append({ timestamp: 5, value: new Uint8Array(3) })
    assert.strictEqual(hex(builder.finish()), hex(first))
  })

  it("refuses a timestamp that is not a whole number of milliseconds", () => {
    const builder = new BatchBuilder()
    assert.throws(() => builder.append({ timestamp: 1.5 }), UnencodableValue)
    builder.append({ timestamp: 1 })
    for (const timestamp of [2.5, Number.NaN, Infinity, 2 ** 60]) {
      assert.throws(() => builder.append({ timestamp }), UnencodableValue)
    }
    assert.strictEqual(builder.count, 1)
  })

  it("compression without a codec is a typed error, for writing and for reading", () => {
    const builder = new BatchBuilder()
    builder.append({ timestamp: 1 })
    assert.throws(() => builder.finish({ compression: Codecs.ZSTD }), UnknownCodec)
    const compressed = javaBatches.find(({ name }) => name === "lz4")!
    assert.throws(() => one(Buffer.from(compressed.bytes, "hex")).records(), UnknownCodec)
  })

  it("writes through the registry's compression and CRC", () => {
    const flip = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 255)
    const codecs = Codecs.make({
      gzip: { compress: flip, decompress: flip },
      crc32c: (bytes) => Crc32c.crc32c(bytes) ^ 1
    })
    const builder = new BatchBuilder()
    builder.append({ timestamp: 1, value: new Uint8Array([1, 2, 3]) })
    const batch = one(builder.finish({ compression: Codecs.GZIP, codecs }))
    assert.isFalse(batch.isValid())
    assert.isTrue(batch.isValid((bytes) => (Crc32c.crc32c(bytes) ^ 1) >>> 0))
    assert.strictEqual(batch.compression, Codecs.GZIP)
    assert.deepStrictEqual(batch.records(codecs).map((record) => hexOrNull(record.value)), ["010203"])
  })
})

const sample = (): Uint8Array => {
  const random = new Random(77)
  const builder = new BatchBuilder()
  for (let i = 0; i < 6; i++) builder.append(randomRecord(random))
  builder.append({ timestamp: 3, headers: [{ key: "k", value: null }, { key: "", value: new Uint8Array([1]) }] })
  return builder.finish({ producerId: 5n, producerEpoch: 1, baseSequence: 0 })
}

const readAll = (bytes: Uint8Array): void => {
  for (const batch of RecordBatch.split(bytes).batches) {
    for (const record of batch.records()) {
      plainly(record)
    }
  }
}

describe("splitting and damage", () => {
  it("a fetch whose last batch is cut off gives the whole ones and counts the rest", () => {
    const batch = sample()
    for (let cut = 0; cut < batch.length; cut++) {
      const { batches, trailing } = RecordBatch.split(new Uint8Array([...batch, ...batch, ...batch.subarray(0, cut)]))
      assert.strictEqual(batches.length, 2)
      assert.strictEqual(trailing, cut)
      assert.strictEqual(hex(batches[1]!.bytes), hex(batch))
    }
  })

  it("old message formats and impossible lengths are malformed", () => {
    const old = sample()
    old[16] = 1
    assert.throws(() => RecordBatch.split(old), MalformedBytes)
    for (const length of [-1, 0, 48, -2_147_483_648]) {
      const bytes = sample()
      new DataView(bytes.buffer, bytes.byteOffset).setInt32(8, length)
      assert.throws(() => RecordBatch.split(bytes), MalformedBytes)
    }
  })

  it("every flipped bit behind the leader epoch is noticed by the CRC", () => {
    const bytes = sample()
    for (let at = 17; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 1 << (at % 8)
      const batch = one(damaged)
      assert.isFalse(batch.isValid())
      assert.throws(() => batch.verify(), CorruptBatch)
    }
  })

  it("a batch that claims more records than its bytes can hold is malformed before any is made", () => {
    for (const count of [-1, 0x7fff_ffff, 1_000_000, 8, 6]) {
      const bytes = sample()
      new DataView(bytes.buffer, bytes.byteOffset).setInt32(57, count)
      assert.throws(() => one(bytes).records(), MalformedBytes)
    }
  })

  it("damaged records are malformed or other records, and no other error", () => {
    const bytes = sample()
    const random = new Random(99)
    for (let round = 0; round < 20_000; round++) {
      const damaged = bytes.slice()
      for (let hits = 0; hits <= random.below(3); hits++) {
        damaged[57 + random.below(bytes.length - 57)] = random.pick([0, 1, 2, 127, 128, 254, 255, random.below(256)])
      }
      try {
        readAll(damaged)
      } catch (error) {
        assert.instanceOf(error, MalformedBytes)
      }
    }
  })

  it("a cursor walks the same records in one object", () => {
    const batch = one(sample())
    const cursor = batch.cursor()
    const walked: Array<unknown> = []
    const seen = new Set<unknown>()
    for (let record = cursor.next(); record !== undefined; record = cursor.next()) {
      walked.push(plainly(record))
      seen.add(record)
    }
    assert.deepStrictEqual(walked, batch.records().map(plainly))
    assert.strictEqual(seen.size, 1)
  })
})

describe("rewriting in place", () => {
  it("base offset and leader epoch change without the CRC", () => {
    const bytes = sample()
    const two = new Uint8Array([...bytes, ...bytes])
    setBaseOffset(two, 2n ** 62n, bytes.length)
    setPartitionLeaderEpoch(two, 44, bytes.length)
    const [first, second] = RecordBatch.split(two).batches
    assert.strictEqual(hex(first!.bytes), hex(bytes))
    assert.strictEqual(second!.baseOffset, 2n ** 62n)
    assert.strictEqual(second!.partitionLeaderEpoch, 44)
    assert.isTrue(second!.isValid())
    assert.strictEqual(second!.records()[2]!.offset, 2n ** 62n + 2n)
  })

  it("another producer's stamp comes with a new CRC", () => {
    const bytes = sample()
    setProducer(bytes, { producerId: 2n ** 40n, producerEpoch: 32_767, baseSequence: 9 })
    const batch = one(bytes)
    assert.isTrue(batch.isValid())
    assert.deepStrictEqual([batch.producerId, batch.producerEpoch, batch.baseSequence], [2n ** 40n, 32_767, 9])
  })

  it("a log-append time replaces every record's own", () => {
    const bytes = sample()
    bytes[22]! |= 8
    const batch = one(bytes)
    assert.isTrue(batch.isLogAppendTime)
    for (const record of batch.records()) assert.strictEqual(record.timestamp, batch.maxTimestamp)
  })

  it("sequences wrap from 2^31 - 1 to 0", () => {
    assert.strictEqual(advanceSequence(0x7fff_ffff, 1), 0)
    assert.strictEqual(advanceSequence(0x7fff_fffe, 5), 3)
    assert.strictEqual(advanceSequence(7, 0), 7)
  })
})

describe("control batches", () => {
  it("markers are written as Kafka writes them, and read", () => {
    for (const batch of capturedBatches.filter((one) => one.isControl)) {
      const { coordinatorEpoch, type } = ControlRecord.decode(batch)
      assert.include([ControlRecord.ABORT, ControlRecord.COMMIT], type)
      const again = ControlRecord.encodeMarker({
        type: type === ControlRecord.ABORT ? ControlRecord.ABORT : ControlRecord.COMMIT,
        coordinatorEpoch,
        producerId: batch.producerId,
        producerEpoch: batch.producerEpoch,
        timestamp: batch.baseTimestamp,
        baseOffset: batch.baseOffset,
        partitionLeaderEpoch: batch.partitionLeaderEpoch
      })
      assert.strictEqual(hex(again), hex(batch.bytes))
    }
  })

  it("a control batch whose key is missing or cut off is malformed", () => {
    for (const key of [null, new Uint8Array(0), new Uint8Array([0, 0, 0])]) {
      const builder = new BatchBuilder()
      builder.append({ timestamp: 1, key, value: null })
      assert.throws(() => ControlRecord.decode(one(builder.finish({ isControl: true }))), MalformedBytes)
    }
  })

  it("other control types are passed on without a coordinator epoch", () => {
    const builder = new BatchBuilder()
    builder.append({ timestamp: 1, key: new Uint8Array([0, 0, 0, 2]), value: new Uint8Array(9) })
    assert.deepStrictEqual(ControlRecord.decode(one(builder.finish({ isControl: true }))), {
      type: 2,
      coordinatorEpoch: -1
    })
  })
})

describe("a record view", () => {
  it("says where its record starts, so that another view can be pointed at it later", () => {
    const builder = new BatchBuilder()
    for (const size of [0, 1, 300]) {
      builder.append({
        timestamp: size,
        key: null,
        value: new Uint8Array(size).fill(size & 255),
        headers: [{ key: "size", value: new Uint8Array([size & 255]) }]
      })
    }
    const batch = one(builder.finish())
    const cursor = batch.cursor()
    const walked: Array<unknown> = []
    const later: Array<unknown> = []
    for (let view = cursor.next(); view !== undefined; view = cursor.next()) {
      walked.push(plainly(view))
      const other = new RecordView(batch, view.bytes)
      other.read(view.start, view.bytes.length)
      later.push(plainly(other))
    }
    assert.strictEqual(walked.length, 3)
    assert.deepStrictEqual(later, walked)
  })
})
