import type { Codecs } from "@exactly-once/protocol"
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { guarded } from "./guarded.ts"

/** gzip, by Node's own zlib. */
export const gzip: Codecs.CompressionCodec = {
  compress: (bytes) => gzipSync(bytes),
  decompress: (bytes, maxSize) => guarded("gzip", () => gunzipSync(bytes, { maxOutputLength: maxSize }))
}

/** Zstandard, by Node's own zlib (Node 22.15 and later). */
export const zstd: Codecs.CompressionCodec = {
  compress: (bytes) => zstdCompressSync(bytes),
  decompress: (bytes, maxSize) => guarded("zstd", () => zstdDecompressSync(bytes, { maxOutputLength: maxSize }))
}
