import type { Reader } from "./Reader.ts"
import type { Writer } from "./Writer.ts"

/** Reads and writes one message in every version of it. */
export interface Codec<out A, in I> {
  /** Reads the body; throws `MalformedBytes`, or `UnsupportedVersion`. */
  readonly decode: (reader: Reader, version: number) => A
  /** Writes the body; throws `UnencodableValue`, or `UnsupportedVersion`. */
  readonly encode: (writer: Writer, value: I, version: number) => void
}

/** One API key: its versions, and the codecs of both directions. */
export interface Api<out Request, in RequestInput, out Response, in ResponseInput> {
  readonly key: number
  readonly name: string
  /** The lowest version that can be read. A broker may advertise less: 4.3.1 says 0 for Produce (KAFKA-18659). */
  readonly minVersion: number
  readonly maxVersion: number
  /** The first version with compact lengths and tagged fields (KIP-482); `Infinity` when none has. */
  readonly flexibleFrom: number
  readonly request: Codec<Request, RequestInput>
  readonly response: Codec<Response, ResponseInput>
}

/** An API of which only the key is known. Its messages are read as `unknown`; to write one, narrow by name first. */
export type AnyApi = Api<unknown, never, unknown, never>

/** What an API's request decodes to. */
export type RequestOf<A> = A extends Api<infer Request, never, unknown, never> ? Request : never

/** What an API's response encodes from. */
export type ResponseInputOf<A> = A extends Api<unknown, never, unknown, infer Input> ? Input : never

const API_VERSIONS = 18

/** Request header 2 goes with flexible versions, 1 with the others. */
export const requestHeaderVersion = (api: { readonly flexibleFrom: number }, version: number): 1 | 2 =>
  version >= api.flexibleFrom ? 2 : 1

/**
 * Response header 1 goes with flexible versions, 0 with the others, and 0 with every version of ApiVersions: a client that asks in a
 * version the broker does not know must still be able to read the answer (KIP-511).
 */
export const responseHeaderVersion = (
  api: { readonly key: number; readonly flexibleFrom: number },
  version: number
): 0 | 1 => version >= api.flexibleFrom && api.key !== API_VERSIONS ? 1 : 0
