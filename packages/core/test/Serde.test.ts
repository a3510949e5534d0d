import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Serde } from "../src/index.ts"

/** Neither text nor JSON keeps the sign of zero. */
const noNegativeZero = Schema.makeFilter((value: number) => !Object.is(value, -0))

const Order = Schema.Struct({
  id: Schema.String,
  amount: Schema.Finite.check(noNegativeZero),
  quantity: Schema.BigInt,
  at: Schema.Date,
  note: Schema.NullOr(Schema.String),
  tags: Schema.Array(Schema.String),
  extra: Schema.optionalKey(Schema.Boolean)
})

const text = (value: string) => new TextEncoder().encode(value)

/** decode(encode(a)) is a, and encoding that gives the same bytes. */
const lawful = <A>(serde: Serde.Serde<A>, value: A) => {
  const bytes = Result.getOrThrow(serde.encode(value))
  const back = Result.getOrThrow(serde.decode(bytes))
  assert.deepStrictEqual(back, value)
  assert.deepStrictEqual(Result.getOrThrow(serde.encode(back)), bytes)
}

const laws = { arbitrary: { runs: 200, seed: 11 } }

/** Text that UTF-8 can carry: no lone surrogates. */
const Text = Schema.String.check(Schema.makeFilter((value) => value.isWellFormed()))

describe("decode(encode(a)) is a", () => {
  it.effect.prop("for text", [Text], ([value]) => Effect.sync(() => lawful(Serde.string, value)), laws)

  it.effect.prop("for bytes and null", [Schema.NullOr(Schema.Uint8Array)], ([value]) =>
    Effect.sync(() => {
      assert.strictEqual(Result.getOrThrow(Serde.bytes.encode(value)), value)
      assert.strictEqual(Result.getOrThrow(Serde.bytes.decode(value)), value)
    }), laws)

  it.effect.prop(
    "for nullable text",
    [Schema.NullOr(Text)],
    ([value]) => Effect.sync(() => lawful(Serde.nullable(Serde.string), value)),
    laws
  )

  it.effect.prop(
    "for a schema whose encoded side is text",
    [Schema.Int.check(noNegativeZero)],
    ([value]) => Effect.sync(() => lawful(Serde.text(Schema.NumberFromString), value)),
    laws
  )

  it.effect.prop(
    "for a schema as JSON, and its tombstone",
    [Schema.NullOr(Order)],
    ([value]) =>
      Effect.sync(() => {
        const wellFormed = JSON.stringify(value, (_, part) => typeof part === "bigint" ? part.toString() : part)
        if (wellFormed.isWellFormed()) lawful(Serde.json(Schema.NullOr(Order)), value)
      }),
    laws
  )
})

describe("a refusal is a sentence", () => {
  const refusal = <A>(result: Result.Result<A, string>) =>
    Result.isFailure(result) ? result.failure : assert.fail("taken")

  it("null where no null may be", () => {
    assert.strictEqual(
      refusal(Serde.string.decode(null)),
      "the string is null; take a schema that accepts null if that is meant"
    )
    assert.isString(refusal(Serde.json(Order).decode(null)))
    assert.isString(refusal(Serde.text(Schema.String).decode(null)))
  })

  it("bytes that are not UTF-8, JSON that ends early, and fields that are missing", () => {
    assert.isString(refusal(Serde.string.decode(Uint8Array.of(0xff))))
    assert.isString(refusal(Serde.json(Order).decode(text("{\"id\":"))))
    assert.include(refusal(Serde.json(Order).decode(text("{\"id\":\"1\"}"))), "amount")
  })

  it("what a function of one's own throws", () => {
    const broken = Serde.make<string>({
      decode: () => {
        throw new Error("not today")
      },
      encode: () => {
        // What code of others throws need not be an error.
        // oxlint-disable-next-line no-throw-literal
        throw "no error at all"
      }
    })
    assert.strictEqual(refusal(broken.decode(null)), "not today")
    assert.strictEqual(refusal(broken.encode("")), "no error at all")
  })
})
