import { type Codecs, Lz4Frame, MalformedBytes } from "@exactly-once/protocol"
import { Buffer } from "node:buffer"
import { CodecUnavailable, guarded } from "./guarded.ts"
import { optional } from "./native.ts"

interface Lz4 {
  readonly compressFrameSync: (bytes: Buffer) => Uint8Array
  readonly decompressFrameSync: (bytes: Buffer) => Uint8Array
}

const load = optional<Lz4>("lz4-napi")

const library = (): Lz4 => {
  const lz4 = load()
  if (lz4 === undefined) throw new CodecUnavailable("lz4-napi")
  return lz4
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** LZ4 frames. The library takes no limit, so the frame's blocks are added up before it sees them. */
export const lz4: Codecs.CompressionCodec = {
  compress: (bytes) => library().compressFrameSync(asBuffer(bytes)),
  decompress: (bytes, maxSize) => {
    const lz4 = library()
    const bound = Lz4Frame.decompressedBound(bytes)
    if (bound > maxSize) {
      throw new MalformedBytes(
        "InvalidCompression",
        0,
        `an LZ4 frame of up to ${bound} bytes, at most ${maxSize} are allowed`
      )
    }
    return guarded("lz4", () => lz4.decompressFrameSync(asBuffer(bytes)))
  }
}
