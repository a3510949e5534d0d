import { assert, describe, it } from "@effect/vitest"
import { Apis, Frame, requestHeaderVersion, responseHeaderVersion } from "@exactly-once/protocol"
import { capturedFrames } from "./frames.ts"

describe("Apis", () => {
  it("serve the version ranges that Kafka 4.3.1 advertised", () => {
    const frame = capturedFrames.find((one) =>
      one.client === "java" && one.apiKey === 18 && one.version === 4 && one.direction === "response"
    )!
    const { body } = Frame.decodeResponse(Apis.ApiVersions, 4, frame.payload)
    assert.isAtLeast(body.apiKeys.length, 70)
    for (const api of Object.values(Apis.all)) {
      const advertised = body.apiKeys.find((one) => one.apiKey === api.key)
      assert.isDefined(advertised, api.name)
      assert.strictEqual(api.maxVersion, advertised.maxVersion, api.name)
      // Produce is advertised from 0 for the sake of librdkafka, and refused below 3 (KAFKA-18659).
      assert.strictEqual(api.minVersion, api.name === "Produce" ? 3 : advertised.minVersion, api.name)
    }
  })

  it("are found by their keys", () => {
    for (const api of Object.values(Apis.all)) assert.strictEqual(Apis.byKey(api.key)?.name, api.name)
    assert.isUndefined(Apis.byKey(4))
    assert.isUndefined(Apis.byKey(-1))
  })

  it("answer ApiVersions with header 0 in every version, others with header 1 once flexible", () => {
    assert.strictEqual(responseHeaderVersion(Apis.ApiVersions, 4), 0)
    assert.strictEqual(requestHeaderVersion(Apis.ApiVersions, 4), 2)
    assert.strictEqual(responseHeaderVersion(Apis.Fetch, 11), 0)
    assert.strictEqual(responseHeaderVersion(Apis.Fetch, 12), 1)
    assert.strictEqual(requestHeaderVersion(Apis.SaslHandshake, 1), 1)
    assert.strictEqual(requestHeaderVersion(Apis.OffsetDelete, 0), 1)
  })

  it("an ApiVersions request in an unknown version is answered in version 0, as Kafka does", () => {
    const frame = Frame.encodeResponse(
      Apis.ApiVersions,
      { errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }] },
      { version: 0, correlationId: 9 }
    )
    assert.strictEqual(Buffer.from(frame).toString("hex"), "0000001000000009002300000001001200000004")
  })
})
