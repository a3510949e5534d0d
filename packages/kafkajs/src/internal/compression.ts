/**
 * Compression codecs by the number that a batch's attributes carry. gzip and zstd come with Node; others are registered.
 */
import type { Driver } from "@exactly-once/core"
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"

/** Compresses the records section of a batch, in the framing Kafka's own clients use (xerial for snappy, frames for lz4). */
export interface Codec {
  readonly compress: (bytes: Uint8Array) => Uint8Array
  readonly decompress: (bytes: Uint8Array) => Uint8Array
}

export type Codecs = { readonly [Name in Exclude<Driver.Compression, "none">]?: Codec | undefined }

const ids = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const
const names = ["none", "gzip", "snappy", "lz4", "zstd"] as const

export const builtIn: Codecs = {
  gzip: { compress: (bytes) => gzipSync(bytes), decompress: (bytes) => gunzipSync(bytes) },
  zstd: { compress: (bytes) => zstdCompressSync(bytes), decompress: (bytes) => zstdDecompressSync(bytes) }
}

export interface Registry {
  readonly names: ReadonlyArray<Driver.Compression>
  readonly id: (name: Driver.Compression) => number
  readonly find: (name: Driver.Compression) => Codec | undefined
  readonly byId: (id: number) => { readonly name: string; readonly codec: Codec | undefined }
}

export const makeRegistry = (registered: Codecs): Registry => {
  const all: Codecs = { ...builtIn, ...registered }
  const find = (name: Driver.Compression) => name === "none" ? undefined : all[name]
  return {
    names: names.filter((name) => name === "none" || find(name) !== undefined),
    id: (name) => ids[name],
    find,
    byId: (id) => {
      const name = names[id]
      return name === undefined ? { name: `codec ${id}`, codec: undefined } : { name, codec: find(name) }
    }
  }
}
