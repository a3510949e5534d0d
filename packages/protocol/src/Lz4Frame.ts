/** What can be known about an LZ4 frame without decompressing it. */
import { MalformedBytes } from "./errors.ts"

const MAGIC = 0x184d2204
const UNCOMPRESSED = 0x8000_0000
/** No LZ4 block expands more than this many times. */
const MAX_RATIO = 255

const malformed = (position: number, detail: string) => new MalformedBytes("InvalidCompression", position, detail)

/**
 * The most bytes a frame can decompress to, found by walking its block headers; not what its header claims, which nothing enforces.
 * Throws `MalformedBytes` unless the bytes are one whole frame.
 */
export const decompressedBound = (bytes: Uint8Array): number => {
  if (bytes.length < 7) throw malformed(0, "an LZ4 frame is cut off")
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC) throw malformed(0, "not an LZ4 frame")
  const flags = bytes[4]!
  if (flags >> 6 !== 1) throw malformed(4, `LZ4 frame version ${flags >> 6}`)
  const blockSizeId = (bytes[5]! >> 4) & 7
  if (blockSizeId < 4) throw malformed(5, `LZ4 block size ${blockSizeId}`)
  const maxBlock = 2 ** (8 + 2 * blockSizeId)
  const blockChecksum = (flags & 0x10) !== 0 ? 4 : 0
  const contentChecksum = (flags & 0x04) !== 0 ? 4 : 0
  let at = 7 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0)
  let bound = 0
  for (;;) {
    if (bytes.length - at < 4) throw malformed(at, "an LZ4 frame is cut off")
    const word = view.getUint32(at, true)
    at += 4
    if (word === 0) break
    const size = word % UNCOMPRESSED
    if (size > maxBlock || size + blockChecksum > bytes.length - at) {
      throw malformed(at, `an LZ4 block of ${size} bytes`)
    }
    bound += word >= UNCOMPRESSED ? size : Math.min(maxBlock, size * MAX_RATIO)
    at += size + blockChecksum
  }
  if (at + contentChecksum !== bytes.length) throw malformed(at, `${bytes.length - at} bytes after an LZ4 frame`)
  return bound
}
