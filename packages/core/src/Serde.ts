/**
 * Between a record's bytes and a value. Pure and synchronous: a batch is decoded in one loop, without an effect per record.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** `null` bytes are Kafka's null key or tombstone. A refusal is a sentence that says what is wrong. */
export interface Serde<A> {
  readonly decode: (bytes: Uint8Array | null) => Result.Result<A, string>
  readonly encode: (value: A) => Result.Result<Uint8Array | null, string>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

const attempt = <A>(f: () => A): Result.Result<A, string> =>
  Result.try({ try: f, catch: (cause) => cause instanceof Error ? cause.message : String(cause) })

/** Any pair of functions as a serde; what they throw becomes the refusal. */
export const make = <A>(options: {
  readonly decode: (bytes: Uint8Array | null) => A
  readonly encode: (value: A) => Uint8Array | null
}): Serde<A> => ({
  decode: (bytes) => attempt(() => options.decode(bytes)),
  encode: (value) => attempt(() => options.encode(value))
})

const refuse = (what: string) => `${what} is null; take a schema that accepts null if that is meant`

/** The bytes as they are; null stays null. */
export const bytes: Serde<Uint8Array | null> = { decode: Result.succeed, encode: Result.succeed }

const fromText = (what: string, raw: Uint8Array | null): string => {
  if (raw === null) throw new Error(refuse(what))
  return decoder.decode(raw)
}

/** UTF-8 text; null is refused. */
export const string: Serde<string> = make({
  decode: (raw) => fromText("the string", raw),
  encode: (value) => encoder.encode(value)
})

/** Lets null through and leaves the rest to `self`. */
export const nullable = <A>(self: Serde<A>): Serde<A | null> => ({
  decode: (raw) => raw === null ? Result.succeed(null) : self.decode(raw),
  encode: (value) => value === null ? Result.succeed(null) : self.encode(value)
})

/**
 * A schema whose encoded side is text (or null), written as that text: `Schema.String`, `Schema.NumberFromString`,
 * `Schema.NullOr(Schema.String)`. Null bytes are the encoded null.
 */
export const text = <A, I extends string | null>(schema: Schema.Codec<A, I>): Serde<A> => {
  const decode = Schema.decodeUnknownSync(schema)
  const encode = Schema.encodeSync(schema)
  return make({
    decode: (raw) => decode(raw === null ? null : decoder.decode(raw)),
    encode: (value) => {
      const encoded = encode(value)
      return encoded === null ? null : encoder.encode(encoded)
    }
  })
}
/**
 * A schema as JSON in UTF-8. Null bytes are the JSON value null and back, so that `Schema.NullOr(X)` reads and writes
 * tombstones, and a schema that does not accept null refuses them.
 */
export const json = <A, I>(schema: Schema.Codec<A, I>): Serde<A> => {
  const codec = Schema.toCodecJson(schema)
  const decode = Schema.decodeUnknownSync(codec)
  const encode = Schema.encodeSync(codec)
  return make({
    decode: (raw) => decode(raw === null ? null : JSON.parse(decoder.decode(raw))),
    encode: (value) => {
      const encoded = encode(value)
      return encoded === null ? null : encoder.encode(JSON.stringify(encoded))
    }
  })
}
