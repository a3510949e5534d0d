import { assert, describe, it } from "@effect/vitest"
import { UnencodableValue, Uuid } from "@exactly-once/protocol"
import { hex } from "./frames.ts"
import { Random } from "./random.ts"

describe("Uuid", () => {
  it("is unpadded base64url of its bytes, both ways", () => {
    const random = new Random(5)
    for (let round = 0; round < 200; round++) {
      const bytes = random.bytes(16)
      const uuid = Uuid.fromBytes(bytes)
      assert.strictEqual(uuid, Buffer.from(bytes).toString("base64url"))
      assert.strictEqual(hex(Uuid.toBytes(uuid)), hex(bytes))
      assert.strictEqual(Uuid.fromHex(hex(bytes)), uuid)
    }
    assert.strictEqual(Uuid.fromBytes(new Uint8Array(16)), Uuid.ZERO)
    assert.strictEqual(Uuid.fromHex("123e4567-e89b-12d3-a456-426614174000"), "Ej5FZ-ibEtOkVkJmFBdAAA")
  })

  it("has one spelling: others are refused", () => {
    for (
      const text of [
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAA+A",
        "AAAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAAéA"
      ]
    ) {
      assert.throws(() => Uuid.toBytes(text), UnencodableValue)
    }
    assert.throws(() => Uuid.fromBytes(new Uint8Array(15)), UnencodableValue)
    assert.throws(() => Uuid.fromHex("xy"), UnencodableValue)
  })
})
