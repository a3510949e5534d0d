import { assert, describe, it } from "@effect/vitest"
import { Apis, Frame, MalformedBytes, UnsupportedVersion } from "@exactly-once/protocol"
import { hex } from "./frames.ts"
import { Random } from "./random.ts"

const framed = (payload: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(4 + payload.length)
  new DataView(frame.buffer).setInt32(0, payload.length)
  frame.set(payload, 4)
  return frame
}

describe("FrameSplitter", () => {
  it("finds the same payloads however the stream is cut", () => {
    const random = new Random(11)
    for (let round = 0; round < 200; round++) {
      const payloads = Array.from(
        { length: 1 + random.below(8) },
        () => random.bytes(random.chance(20) ? 0 : random.below(random.chance(20) ? 5000 : 40))
      )
      const stream = new Uint8Array(Buffer.concat(payloads.map(framed)))
      const splitter = new Frame.FrameSplitter()
      const found: Array<Uint8Array> = []
      let at = 0
      while (at < stream.length) {
        const size = 1 + random.below(random.chance(30) ? 3 : 900)
        found.push(...splitter.push(stream.slice(at, at + size)))
        at += size
      }
      assert.deepStrictEqual(found.map(hex), payloads.map(hex))
      assert.strictEqual(splitter.pending, 0)
    }
  })

  it("refuses a frame that is too large or negative as soon as its size is there", () => {
    assert.throws(() => new Frame.FrameSplitter(100).push(new Uint8Array([0, 0, 0, 101])), MalformedBytes)
    assert.throws(() => new Frame.FrameSplitter().push(new Uint8Array([255, 255, 255, 255])), MalformedBytes)
    assert.throws(() => {
      const splitter = new Frame.FrameSplitter(100)
      for (const byte of [0, 0, 1, 0]) splitter.push(new Uint8Array([byte]))
    }, MalformedBytes)
    assert.deepStrictEqual(new Frame.FrameSplitter(100).push(new Uint8Array([0, 0, 0, 100])), [])
  })

  it("holds little for a peer that announces a huge frame and sends nothing", () => {
    const before = process.memoryUsage().arrayBuffers
    const splitters = Array.from({ length: 1000 }, () => {
      const splitter = new Frame.FrameSplitter()
      splitter.push(new Uint8Array([6, 0x3f, 0xff, 0xff, 1, 2, 3]))
      return splitter
    })
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 10_000_000)
    assert.strictEqual(splitters[0]?.pending, 7)
  })

  it("copies a payload that arrives in many chunks a bounded number of times", () => {
    const payload = new Uint8Array(20_000_000)
    const stream = framed(payload)
    const splitter = new Frame.FrameSplitter()
    const found: Array<Uint8Array> = []
    for (let at = 0; at < stream.length; at += 1000) found.push(...splitter.push(stream.subarray(at, at + 1000)))
    assert.strictEqual(found[0]?.length, payload.length)
  })
})

describe("requests and responses", () => {
  it("a request keeps its header and body", () => {
    const frame = Frame.encodeRequest(Apis.FindCoordinator, { keyType: 1, coordinatorKeys: ["t"] }, {
      version: 4,
      correlationId: 77,
      clientId: "é"
    })
    const [payload] = new Frame.FrameSplitter().push(frame)
    assert.deepStrictEqual(Frame.requestPreamble(payload!), { apiKey: 10, apiVersion: 4, correlationId: 77 })
    const { body, header } = Frame.decodeRequest(Apis.FindCoordinator, payload!)
    assert.strictEqual(header.clientId, "é")
    assert.deepStrictEqual(body.coordinatorKeys, ["t"])
  })

  it("a response keeps its correlation id and body", () => {
    const frame = Frame.encodeResponse(
      Apis.EndTxn,
      { throttleTimeMs: 0, errorCode: 90, producerId: 5n, producerEpoch: 3 },
      { version: 5, correlationId: -2 }
    )
    const payload = frame.subarray(4)
    assert.strictEqual(Frame.correlationId(payload), -2)
    const { body } = Frame.decodeResponse(Apis.EndTxn, 5, payload)
    assert.deepStrictEqual([body.errorCode, body.producerId, body.producerEpoch], [90, 5n, 3])
  })

  it("a request of millions of empty strings is refused while its array is still a number", () => {
    const payload = new Uint8Array(3_000_000).fill(1)
    // ListGroups 4, correlation id 1, no client id, no tags; then a compact array of 2,500,000 elements of one byte each.
    payload.set([0, 16, 0, 4, 0, 0, 0, 1, 255, 255, 0, 0xa1, 0xcb, 0x98, 0x01])
    const before = process.memoryUsage().heapUsed
    assert.throws(() => Frame.decodeRequest(Apis.ListGroups, payload), MalformedBytes, /more array elements/)
    assert.isBelow(process.memoryUsage().heapUsed - before, 5_000_000)
  })

  it("bytes after the body are malformed", () => {
    const frame = Frame.encodeResponse(Apis.Heartbeat, { errorCode: 0 }, { version: 0, correlationId: 1 })
    assert.throws(
      () => Frame.decodeResponse(Apis.Heartbeat, 0, new Uint8Array([...frame.subarray(4), 0])),
      MalformedBytes
    )
  })

  it("a payload too short for a preamble is malformed, an unknown version is named", () => {
    assert.throws(() => Frame.requestPreamble(new Uint8Array(7)), MalformedBytes)
    assert.throws(() => Frame.correlationId(new Uint8Array(3)), MalformedBytes)
    assert.deepStrictEqual(Frame.requestPreamble(new Uint8Array([0xff, 0xfe, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xfd])), {
      apiKey: -2,
      apiVersion: 32_767,
      correlationId: -3
    })
    const payload = new Uint8Array([0, 0, 0, 99, 0, 0, 0, 1, 255, 255, 0])
    assert.throws(() => Frame.decodeRequest(Apis.Produce, payload), UnsupportedVersion)
  })
})
