/**
 * A topic's name with the serdes of its keys and values, and the records that go in and out of it.
 */
import type * as Schema from "effect/Schema"
import type { FetchedRecord } from "./Driver.ts"
import type { Headers } from "./Headers.ts"
import type { Offset } from "./Offset.ts"
import * as Serde from "./Serde.ts"

export interface Topic<out Name extends string, in out K, in out V> {
  readonly name: Name
  readonly key: Serde.Serde<K>
  readonly value: Serde.Serde<V>
}

/** Any topic, for signatures that take several. */
// The serdes are invariant in their types, so a common supertype of all topics has to leave them open.
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = Topic<string, any, any>

/** A record to be written. Without `partition`: murmur2 of the key as the Java client has it; sticky for a null key. */
export interface OutRecord<K, V> {
  readonly key: K
  readonly value: V
  readonly headers?: Headers | undefined
  /** Milliseconds since the epoch. */
  readonly timestamp?: bigint | undefined
  readonly partition?: number | undefined
}

/** A record that was read: its place, and its decoded key and value. */
export interface InRecord<out Name extends string, out K, out V> {
  readonly topic: Name
  readonly partition: number
  readonly offset: Offset
  /** Milliseconds since the epoch. */
  readonly timestamp: bigint
  readonly key: K
  readonly value: V
  readonly headers: Headers
}

/** The records of a topic, or of a union of topics, told apart by `topic`. */
export type RecordOf<T> = T extends Topic<infer Name, infer K, infer V> ? InRecord<Name, K, V> : never

/** A topic with serdes of one's own. */
export const make = <const Name extends string, K, V>(
  name: Name,
  serdes: { readonly key: Serde.Serde<K>; readonly value: Serde.Serde<V> }
): Topic<Name, K, V> => ({ name, key: serdes.key, value: serdes.value })

/** Keys as plain text (no quotes), values as JSON. A null value is a tombstone where the schema accepts null. */
export const json = <const Name extends string, K, KI extends string | null, V, VI>(
  name: Name,
  schemas: { readonly key: Schema.Codec<K, KI>; readonly value: Schema.Codec<V, VI> }
): Topic<Name, K, V> => make(name, { key: Serde.text(schemas.key), value: Serde.json(schemas.value) })

/** Keys and values as UTF-8 text; null is refused. */
export const string = <const Name extends string>(name: Name): Topic<Name, string, string> =>
  make(name, { key: Serde.string, value: Serde.string })

/** Bytes as they are, without copies: nothing is decoded, null stays null. */
export const bytes = <const Name extends string>(
  name: Name
): Topic<Name, Uint8Array | null, Uint8Array | null> => make(name, { key: Serde.bytes, value: Serde.bytes })

/** Whether a topic hands out bytes as they are, so that a fetched record is a record already. */
export const isBytes = (topic: Any): boolean => topic.key === Serde.bytes && topic.value === Serde.bytes

/** What a bytes topic's records are before and after. */
export type BytesRecord<Name extends string> = FetchedRecord & { readonly topic: Name }
