import { type Codecs, Xerial } from "@exactly-once/protocol"
import { CodecUnavailable, guarded } from "./guarded.ts"
import { optional } from "./native.ts"

interface Snappy {
  readonly compressSync: (bytes: Uint8Array) => Uint8Array
  readonly uncompressSync: (bytes: Uint8Array, options: { readonly asBuffer: true }) => Uint8Array
}

const load = optional<Snappy>("snappy")

const blocks: Xerial.SnappyBlocks = {
  compress: (block) => library().compressSync(block),
  decompress: (block) => library().uncompressSync(block, { asBuffer: true })
}

const library = (): Snappy => {
  const snappy = load()
  if (snappy === undefined) throw new CodecUnavailable("snappy")
  return snappy
}

/** Snappy in the framing of the Java client; bare blocks, as librdkafka writes them, are read too. */
export const snappy: Codecs.CompressionCodec = {
  compress: (bytes) => Xerial.compress(bytes, blocks),
  decompress: (bytes, maxSize) => {
    library()
    return guarded("snappy", () => Xerial.decompress(bytes, maxSize, blocks))
  }
}
