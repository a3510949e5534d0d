/**
 * Record headers: an ordered list, since Kafka allows a name more than once and a null value.
 */
const utf8 = new TextEncoder()
const text = new TextDecoder()

/** Name and value pairs in the order of the wire. */
export type Headers = ReadonlyArray<readonly [name: string, value: Uint8Array | null]>

/** No headers. */
export const empty: Headers = []

/** Headers from an object of strings, UTF-8 encoded, in the object's order. */
export const fromRecord = (record: Readonly<Record<string, string>>): Headers =>
  Object.entries(record).map(([name, value]) => [name, utf8.encode(value)] as const)

/** The last value of `name` as UTF-8 text; `undefined` when the header is missing or null. */
export const get = (headers: Headers, name: string): string | undefined => {
  for (let i = headers.length - 1; i >= 0; i--) {
    const header = headers[i]
    if (header !== undefined && header[0] === name) return header[1] === null ? undefined : text.decode(header[1])
  }
  return undefined
}
