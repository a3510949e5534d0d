import { assert, describe, it } from "@effect/vitest"
import * as Protocol from "@exactly-once/protocol"
import { hex } from "./frames.ts"
import { Random } from "./random.ts"
import { type Message, messages, randomStruct, type Struct, versionsOf, writeStruct } from "./schemaInterpreter.ts"

interface GeneratedModule {
  readonly decode: (reader: Protocol.Reader, version: number) => unknown
  readonly encode: (writer: Protocol.Writer, value: unknown, version: number) => void
  readonly minVersion: number
  readonly maxVersion: number
}

// The schema drives these tests, so modules are found by a name that is only known at run time.
const moduleOf = (message: Message): GeneratedModule =>
  (Protocol as unknown as Readonly<Record<string, GeneratedModule>>)[message.name]!

const encode = (message: Message, value: unknown, version: number): Uint8Array => {
  const writer = new Protocol.Writer(16)
  moduleOf(message).encode(writer, value, version)
  return writer.finish()
}

const decode = (message: Message, bytes: Uint8Array, version: number): unknown => {
  const reader = new Protocol.Reader(bytes)
  const value = moduleOf(message).decode(reader, version)
  reader.expectEnd()
  return value
}

/** Every field that was written is there with its value; the decoded side also has the fields that were left out. */
const assertHolds = (actual: unknown, expected: unknown, path: string): void => {
  if (expected instanceof Uint8Array) {
    assert.instanceOf(actual, Uint8Array, path)
    assert.strictEqual(hex(actual as Uint8Array), hex(expected), path)
  } else if (Array.isArray(expected)) {
    const items = actual as ReadonlyArray<unknown>
    assert.strictEqual(items.length, expected.length, path)
    expected.forEach((item, index) => assertHolds(items[index], item, `${path}[${index}]`))
  } else if (typeof expected === "object" && expected !== null) {
    for (const [name, value] of Object.entries(expected)) {
      assertHolds((actual as Record<string, unknown>)[name], value, `${path}.${name}`)
    }
  } else assert.strictEqual(actual, expected, path)
}

const ROUNDS = 12
const pairs = messages.flatMap((message) => versionsOf(message).map((version) => ({ message, version })))

const samples = (message: Message, version: number, rounds: number): ReadonlyArray<Struct> =>
  Array.from(
    { length: rounds },
    (_, round) =>
      randomStruct(
        message,
        message.fields,
        version,
        new Random((message.apiKey ?? 99) * 10_000 + version * 100 + round)
      )
  )

describe("generated messages", () => {
  it("cover 38 keys in both directions, the headers and four blobs", () => {
    assert.strictEqual(messages.filter((message) => message.type === "request").length, 38)
    assert.strictEqual(messages.length, 82)
    for (const message of messages) {
      const versions = versionsOf(message)
      assert.strictEqual(moduleOf(message).minVersion, versions[0], message.name)
      assert.strictEqual(moduleOf(message).maxVersion, versions.at(-1), message.name)
    }
  })

  it("write what a walk over the schema writes, and read it back, in every version", () => {
    let compared = 0
    for (const { message, version } of pairs) {
      samples(message, version, ROUNDS).forEach((value, round) => {
        const label = `${message.name} v${version} round ${round}`
        const bytes = encode(message, value, version)
        assert.strictEqual(hex(bytes), hex(new Uint8Array(writeStruct(message, message.fields, value, version))), label)
        const decoded = decode(message, bytes, version)
        assertHolds(decoded, value, label)
        assert.strictEqual(hex(encode(message, decoded, version)), hex(bytes), label)
        compared++
      })
    }
    assert.isAtLeast(compared, 400 * ROUNDS)
  })

  it("that are cut off at any byte are malformed", () => {
    for (const { message, version } of pairs) {
      const bytes = encode(message, samples(message, version, 1)[0], version)
      for (let length = 0; length < Math.min(bytes.length, 400); length++) {
        assert.throws(() => decode(message, bytes.slice(0, length), version), Protocol.MalformedBytes)
      }
    }
  })

  it("with damaged bytes are malformed or something else valid, and no other error", () => {
    const random = new Random(4_242)
    for (const { message, version } of pairs) {
      const bytes = encode(message, samples(message, version, 1)[0], version)
      if (bytes.length === 0) continue
      for (let round = 0; round < 40; round++) {
        const damaged = bytes.slice()
        for (let hits = 0; hits <= random.below(3); hits++) {
          damaged[random.below(bytes.length)] = random.pick([0, 1, 127, 128, 254, 255, random.below(256)])
        }
        try {
          decode(message, damaged, version)
        } catch (error) {
          assert.instanceOf(error, Protocol.MalformedBytes, `${message.name} v${version}: ${hex(damaged)}`)
        }
      }
    }
  })

  it("refuse versions that are not served", () => {
    for (const message of messages) {
      const { maxVersion, minVersion } = moduleOf(message)
      for (const version of [minVersion - 1, maxVersion + 1, Number.NaN]) {
        assert.throws(() => decode(message, new Uint8Array(1000), version), Protocol.UnsupportedVersion)
        assert.throws(() => encode(message, {}, version), Protocol.UnsupportedVersion)
      }
    }
  })
})

describe("fields and versions", () => {
  const {
    EndTxnRequest,
    FetchRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    MetadataRequest,
    Reader,
    Writer
  } = Protocol

  it("a value that its version cannot carry is refused, unless it may be dropped", () => {
    const writer = new Writer()
    // coordinatorKeys exists from version 4 on, where it replaces key.
    assert.throws(
      () => FindCoordinatorRequest.encode(writer, { keyType: 0, coordinatorKeys: ["a"] }, 3),
      Protocol.UnencodableValue,
      "FindCoordinatorRequest.coordinatorKeys"
    )
    assert.throws(
      () =>
        InitProducerIdRequest.encode(writer, {
          transactionalId: "t",
          transactionTimeoutMs: 1,
          producerId: 7n,
          producerEpoch: 0
        }, 1),
      Protocol.UnencodableValue
    )
    // rackId is ignorable: an older broker does without.
    FetchRequest.encode(writer, { maxWaitMs: 1, minBytes: 1, topics: [], rackId: "r" }, 10)
  })

  it("null is refused in versions where the field is not nullable", () => {
    assert.throws(
      () => MetadataRequest.encode(new Writer(), { topics: null }, 0),
      Protocol.UnencodableValue,
      "MetadataRequest.topics"
    )
    // Version 0 asks for all topics with an empty array, and has no null.
    assert.throws(
      () => MetadataRequest.decode(new Reader(new Uint8Array([255, 255, 255, 255])), 0),
      Protocol.MalformedBytes
    )
  })

  it("an absent field reads as its default", () => {
    const writer = new Writer()
    FetchRequest.encode(writer, { maxWaitMs: 500, minBytes: 1, topics: [] }, 4)
    const fetched = FetchRequest.decode(new Reader(writer.finish()), 4)
    assert.strictEqual(fetched.sessionEpoch, -1)
    assert.strictEqual(fetched.maxBytes, 0x7fff_ffff)
    assert.deepStrictEqual(fetched.replicaState, { replicaId: -1, replicaEpoch: -1n, unknownTags: undefined })
  })

  it("unknown tags stay between known ones, so that all ascend", () => {
    const writer = new Writer()
    const partition = {
      partition: 1,
      fetchOffset: 5n,
      partitionMaxBytes: 100,
      replicaDirectoryId: Protocol.Uuid.fromHex("00000000000000000000000000000007"),
      // Tag 1 is highWatermark, from version 18 on; to version 17 it is unknown.
      unknownTags: [{ tag: 1, data: new Uint8Array(8) }]
    }
    FetchRequest.encode(
      writer,
      { maxWaitMs: 1, minBytes: 1, clusterId: "c", topics: [{ partitions: [partition] }] },
      17
    )
    const bytes = writer.finish()
    const decoded = FetchRequest.decode(new Reader(bytes), 17)
    assert.deepStrictEqual(decoded.topics[0]?.partitions[0]?.unknownTags?.map(({ tag }) => tag), [1])
    const again = new Writer()
    FetchRequest.encode(again, decoded, 17)
    assert.strictEqual(hex(again.finish()), hex(bytes))
    assert.strictEqual(FetchRequest.decode(new Reader(bytes), 18).topics[0]?.partitions[0]?.highWatermark, 0n)
  })

  it("a tagged field whose size does not match its type is malformed", () => {
    const writer = new Writer()
    FetchRequest.encode(writer, {
      maxWaitMs: 1,
      minBytes: 1,
      topics: [{
        partitions: [{
          partition: 1,
          fetchOffset: 5n,
          partitionMaxBytes: 1,
          unknownTags: [{ tag: 1, data: new Uint8Array(9) }]
        }]
      }]
    }, 17)
    assert.throws(() => FetchRequest.decode(new Reader(writer.finish()), 18), Protocol.MalformedBytes)
  })

  it("a string longer than 32767 bytes is refused in both directions", () => {
    const long = "x".repeat(32_768)
    for (const version of [1, 4]) {
      assert.throws(
        () =>
          EndTxnRequest.encode(new Writer(), {
            transactionalId: long,
            producerId: 1n,
            producerEpoch: 0,
            committed: true
          }, version),
        Protocol.UnencodableValue
      )
    }
    const writer = new Writer()
    writer.uvarint(32_769)
    writer.raw(new Uint8Array(32_800))
    assert.throws(() => EndTxnRequest.decode(new Reader(writer.finish()), 4), Protocol.MalformedBytes)
  })
})
