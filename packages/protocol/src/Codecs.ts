/**
 * What record batches need and this package does not bring along: compression, and a faster CRC where one is at hand. A registry is a
 * value that callers pass along; nothing is registered globally.
 */
import { type Crc32c, crc32c as plainCrc32c } from "./Crc32c.ts"
import { UnknownCodec } from "./errors.ts"

/** The compression types of a batch's attributes. */
export const NONE = 0
export const GZIP = 1
export const SNAPPY = 2
export const LZ4 = 3
export const ZSTD = 4

export interface CompressionCodec {
  readonly compress: (bytes: Uint8Array) => Uint8Array
  /** Throws when the bytes are damaged, or would take more than `maxSize` bytes, before that much is allocated. */
  readonly decompress: (bytes: Uint8Array, maxSize: number) => Uint8Array
}

export interface Codecs {
  readonly crc32c: Crc32c
  /** The most bytes that one batch may decompress to. */
  readonly maxDecompressedSize: number
  /** The codec of a compression type; throws `UnknownCodec`. */
  readonly compression: (type: number) => CompressionCodec
}

export interface CodecsOptions {
  readonly crc32c?: Crc32c | undefined
  readonly gzip?: CompressionCodec | undefined
  readonly snappy?: CompressionCodec | undefined
  readonly lz4?: CompressionCodec | undefined
  readonly zstd?: CompressionCodec | undefined
  readonly maxDecompressedSize?: number | undefined
}

export const make = (options: CodecsOptions): Codecs => {
  const byType = [undefined, options.gzip, options.snappy, options.lz4, options.zstd]
  return {
    crc32c: options.crc32c ?? plainCrc32c,
    maxDecompressedSize: options.maxDecompressedSize ?? 128 * 1024 * 1024,
    compression: (type) => {
      const codec = byType[type]
      if (codec === undefined) throw new UnknownCodec(type)
      return codec
    }
  }
}

/** No compression, and the plain CRC. */
export const plain: Codecs = make({})
