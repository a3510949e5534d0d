import { assert, describe, it } from "@effect/vitest"
import {
  type AnyApi,
  Apis,
  type Codec,
  Reader,
  RequestHeader,
  requestHeaderVersion,
  ResponseHeader,
  responseHeaderVersion,
  Writer
} from "@exactly-once/protocol"
import { type CapturedFrame, capturedFrames, hex } from "./frames.ts"

/** What is read from bytes may be written again: decoded values are always valid input. */
const rewrite = (codec: Codec<unknown, never>, reader: Reader, writer: Writer, version: number) =>
  codec.encode(writer, codec.decode(reader, version) as never, version)

const reencode = (api: AnyApi, frame: CapturedFrame): Uint8Array => {
  const reader = new Reader(frame.payload)
  const writer = new Writer()
  if (frame.direction === "request") {
    const headerVersion = requestHeaderVersion(api, frame.version)
    RequestHeader.encode(writer, RequestHeader.decode(reader, headerVersion), headerVersion)
    rewrite(api.request, reader, writer, frame.version)
  } else {
    const headerVersion = responseHeaderVersion(api, frame.version)
    ResponseHeader.encode(writer, ResponseHeader.decode(reader, headerVersion), headerVersion)
    rewrite(api.response, reader, writer, frame.version)
  }
  reader.expectEnd()
  return writer.finish()
}

const label = (frame: CapturedFrame) => `${frame.client} ${frame.apiKey} v${frame.version} ${frame.direction}`

describe("frames captured from five clients and Kafka 4.3.1", () => {
  // franz-go opens with ApiVersions 5, which 4.3.1 refuses; no capture kept here holds one.
  it("are all of versions that are served", () => {
    const unknown = capturedFrames.filter((frame) => {
      const api = Apis.byKey(frame.apiKey)
      return api === undefined || frame.version > api.maxVersion || frame.version < api.minVersion
    })
    assert.deepStrictEqual(unknown.map(label), [])
    assert.isAtLeast(
      new Set(capturedFrames.map((frame) => `${frame.apiKey}.${frame.version}.${frame.direction}`)).size,
      130
    )
  })

  for (const client of new Set(capturedFrames.map((frame) => frame.client))) {
    it(`of ${client} are read and written back byte for byte`, () => {
      for (const frame of capturedFrames.filter((one) => one.client === client)) {
        assert.strictEqual(hex(reencode(Apis.byKey(frame.apiKey)!, frame)), hex(frame.payload), label(frame))
      }
    })
  }
})
