/**
 * Compression codecs by the number that a batch's attributes carry. All of Kafka's come with `@exactly-once/codecs`; where
 * a native library is missing on a platform, its codec is told apart before the first record.
 */
import * as Bundled from "@exactly-once/codecs"
import type { Driver } from "@exactly-once/core"

/** Compresses the records section of a batch, in the framing Kafka's own clients use (xerial for snappy, frames for lz4). */
export interface Codec {
  readonly compress: (bytes: Uint8Array) => Uint8Array
  /** Throws when the bytes are damaged, or would take more than `maxSize` bytes. */
  readonly decompress: (bytes: Uint8Array, maxSize: number) => Uint8Array
}

/** Codecs to use in place of the bundled ones, by their names in Kafka's configuration. */
export type Codecs = { readonly [Name in Exclude<Driver.Compression, "none">]?: Codec | undefined }

const names = ["none", "gzip", "snappy", "lz4", "zstd"] as const

/** The most bytes that one batch may decompress to. */
export const maxDecompressedSize = 134_217_728

export interface Registry {
  /** `none`, and those that work here. */
  readonly names: ReadonlyArray<Driver.Compression>
  readonly id: (name: Driver.Compression) => number
  readonly find: (name: Driver.Compression) => Codec | undefined
  readonly byId: (id: number) => { readonly name: string; readonly codec: Codec | undefined }
}

const works = (codec: Codec): boolean => {
  try {
    return codec.decompress(codec.compress(Uint8Array.of(7)), 64)[0] === 7
  } catch {
    return false
  }
}

export const makeRegistry = (options: Codecs): Registry => {
  const { gzip, lz4, snappy, zstd } = Bundled
  const all: Record<string, Codec> = { gzip, snappy, lz4, zstd }
  const usable = new Map<string, Codec>()
  for (const [name, codec] of Object.entries({ ...all, ...options })) {
    if (codec !== undefined && works(codec)) usable.set(name, codec)
  }
  return {
    names: names.filter((name) => name === "none" || usable.has(name)),
    id: (name) => names.indexOf(name),
    find: (name) => usable.get(name),
    byId: (id) => {
      const name = names[id] ?? `codec ${id}`
      return { name, codec: usable.get(name) }
    }
  }
}
