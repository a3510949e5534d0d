import { assert, describe, it } from "@effect/vitest"
import { crc32c } from "@exactly-once/codecs"
import type { Driver } from "@exactly-once/core"
import { Schema } from "effect"
import { makeRegistry } from "../../src/internal/compression.ts"
import { type Read, readRecords, type Unreadable } from "../../src/internal/recordReader.ts"
import { batchHead, nextSequence, sizeBound, writeBatch } from "../../src/internal/recordWriter.ts"

const codecs = makeRegistry({})
const options = { producerId: 7n, epoch: 1, firstSequence: 0, transactional: true, now: 1_000, compression: undefined }
const record = (value: string): Driver.EncodedRecord => ({ key: null, value: Buffer.from(value) })

const read = (bytes: Buffer, fetchOffset = 0n, registry = codecs) =>
  readRecords({ topic: "t", partition: 3, bytes, fetchOffset, aborted: [], codecs: registry })

const readable = (result: Read | Unreadable): Read => {
  if ("failure" in result) throw new Error(result.description)
  return result
}

const unreadable = (result: Read | Unreadable): Unreadable => {
  if (!("failure" in result)) throw new Error("it could be read")
  return result
}

const at = (offset: bigint, batch: Buffer): Buffer => {
  batch.writeBigInt64BE(offset, 0)
  return batch
}

const sealed = (batch: Buffer): Buffer => {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** What compaction leaves of a batch whose records are all gone. */
const emptied = (offset: bigint, lastOffsetDelta: number): Buffer => {
  const batch = writeBatch([record("x")], options).subarray(0, batchHead)
  batch.writeInt32BE(batchHead - 12, 8)
  batch.writeInt32BE(lastOffsetDelta, 23)
  batch.writeInt32BE(0, 57)
  return at(offset, sealed(Buffer.from(batch)))
}

const hex = (bytes: Uint8Array | null) => bytes === null ? null : Buffer.from(bytes).toString("hex")

const Bytes = Schema.NullOr(Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))))
const Millis = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 4_102_444_800_000 })))
const Line = Schema.Struct({
  key: Bytes,
  value: Bytes,
  timestamp: Schema.NullOr(Millis),
  headers: Schema.Array(Schema.Tuple([Schema.String, Bytes]))
})

describe("record batches", () => {
  for (const name of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
    it.prop(`come back as they were written, ${name}`, [Schema.NonEmptyArray(Line)], ([lines]) => {
      const bytesOf = (list: ReadonlyArray<number> | null) => list === null ? null : Uint8Array.from(list)
      const records = lines.map((line): Driver.EncodedRecord => ({
        key: bytesOf(line.key),
        value: bytesOf(line.value),
        timestamp: line.timestamp === null ? undefined : BigInt(line.timestamp),
        // lone surrogates are no UTF-8
        headers: line.headers.map(([key, value]) => [key.toWellFormed(), bytesOf(value)])
      }))
      const codec = codecs.find(name)
      const compression = codec === undefined ? undefined : { id: codecs.id(name), codec }
      const batch = at(40n, writeBatch(records, { ...options, compression }))
      const found = readable(read(batch, 40n))
      assert.strictEqual(found.nextOffset, 40n + BigInt(records.length))
      assert.deepStrictEqual(
        found.records.map(({ headers, key, offset, timestamp, value }) => ({
          offset,
          timestamp,
          key: hex(key),
          value: hex(value),
          headers: headers.map(([name, value]) => [name, hex(value)])
        })),
        records.map((sent, i) => ({
          offset: 40n + BigInt(i),
          timestamp: sent.timestamp ?? 1_000n,
          key: hex(sent.key),
          value: hex(sent.value),
          headers: (sent.headers ?? []).map(([name, value]) => [name, hex(value)])
        }))
      )
      if (compression === undefined) {
        assert.isAtMost(batch.length, batchHead + records.reduce((size, sent) => size + sizeBound(sent), 0))
      }
    }, { arbitrary: { runs: 60 } })
  }

  it("a bit that changed is found, wherever it is", () => {
    const batch = writeBatch([record("value")], options)
    for (let i = 21; i < batch.length; i++) {
      const damaged = Buffer.from(batch)
      damaged[i] = (damaged[i] ?? 0) ^ 4
      assert.strictEqual(unreadable(read(damaged)).failure, "CorruptRecord", `byte ${i}`)
    }
  })

  it("records before the fetch offset are left out", () => {
    const found = readable(read(at(10n, writeBatch(["a", "b", "c"].map(record), options)), 12n))
    assert.deepStrictEqual([found.records.map(({ offset }) => offset), found.nextOffset], [[12n], 13n] as never)
  })

  it("a batch that was cut off at the end of a response waits for the next one", () => {
    const [first, second] = [writeBatch([record("a")], options), at(1n, writeBatch([record("b")], options))]
    for (let kept = 0; kept < second.length; kept++) {
      const found = readable(read(Buffer.concat([first, second.subarray(0, kept)])))
      assert.deepStrictEqual([found.records.length, found.nextOffset], [1, 1n], `${kept} bytes`)
    }
  })

  it("the position passes batches that compaction has emptied", () => {
    const found = readable(read(Buffer.concat([emptied(0n, 41), at(42n, writeBatch([record("a")], options))])))
    assert.deepStrictEqual([found.records[0]?.offset, found.nextOffset], [42n, 43n] as never)
    assert.strictEqual(readable(read(emptied(0n, 41))).nextOffset, 42n)
  })

  it("a batch of more records than a call takes arguments", () => {
    const many = Array.from({ length: 300_000 }, () => ({ key: null, value: null }))
    assert.strictEqual(readable(read(writeBatch(many, options))).records.length, 300_000)
  })

  it("the old formats and missing codecs are named", () => {
    const old = writeBatch([record("a")], options)
    old.writeInt8(1, 16)
    assert.deepInclude(unreadable(read(old)), { failure: "Misconfigured" })
    const compression = {
      id: codecs.id("snappy"),
      codec: codecs.find("snappy") ?? { compress: Buffer.from, decompress: Buffer.from }
    }
    const packed = at(5n, writeBatch([record("a")], { ...options, compression }))
    const found = unreadable(read(packed, 0n, makeRegistry({ snappy: undefined })))
    assert.deepStrictEqual([found.failure, found.offset], ["Misconfigured", 5n])
    assert.include(found.description, "snappy")
  })

  it("bytes that decompress to nonsense are corrupt, not a crash", () => {
    const gzip = codecs.find("gzip")
    if (gzip === undefined) throw new Error("gzip comes with Node")
    const batch = writeBatch([record("a")], { ...options, compression: { id: 1, codec: gzip } })
    const body = Buffer.from(gzip.compress(Buffer.from([100, 1, 2, 3])))
    const damaged = Buffer.concat([batch.subarray(0, batchHead), body])
    damaged.writeInt32BE(damaged.length - 12, 8)
    assert.strictEqual(unreadable(read(sealed(damaged))).failure, "CorruptRecord")
  })

  it("sequences go around at 31 bits", () => {
    assert.strictEqual(nextSequence(2 ** 31 - 1, 1), 0)
    assert.strictEqual(nextSequence(2 ** 31 - 2, 5), 3)
  })
})
