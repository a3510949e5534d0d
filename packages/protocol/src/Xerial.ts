/**
 * The framing around snappy blocks that the Java client uses: a magic of eight bytes, two versions, then chunks with a length in front.
 * Other clients write a bare snappy block, so both are read; the framed form is written, which every client reads.
 */
import { MalformedBytes } from "./errors.ts"

const MAGIC = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]
const HEADER_SIZE = 16
/** Bytes compressed at a time: what the Java client's own framing uses. */
const CHUNK_SIZE = 32 * 1024

/** A compressor of bare snappy blocks. */
export interface SnappyBlocks {
  readonly compress: (block: Uint8Array) => Uint8Array
  readonly decompress: (block: Uint8Array) => Uint8Array
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

export const isFramed = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_SIZE && MAGIC.every((byte, index) => bytes[index] === byte)

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const only = parts[0]
  if (parts.length === 1 && only !== undefined) return only
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const malformed = (position: number, detail: string) => new MalformedBytes("InvalidCompression", position, detail)

export const compress = (bytes: Uint8Array, snappy: SnappyBlocks): Uint8Array => {
  const header = new Uint8Array(HEADER_SIZE)
  header.set(MAGIC)
  header[11] = 1
  header[15] = 1
  const parts: Array<Uint8Array> = [header]
  for (let at = 0; at < bytes.length; at += CHUNK_SIZE) {
    const block = snappy.compress(bytes.subarray(at, at + CHUNK_SIZE))
    const length = new Uint8Array(4)
    viewOf(length).setInt32(0, block.length)
    parts.push(length, block)
  }
  return concat(parts)
}

/** The size a snappy block says it decompresses to, from the varint it starts with. */
const announcedSize = (block: Uint8Array, position: number): number => {
  let size = 0
  for (let index = 0; index < 5; index++) {
    const byte = block[index]
    if (byte === undefined) break
    size += (byte & 127) * 2 ** (7 * index)
    if (byte < 128) return size
  }
  throw malformed(position, "a snappy block without a size")
}

/** Throws before anything is decompressed when the blocks announce more than `maxSize` bytes together. */
export const decompress = (bytes: Uint8Array, maxSize: number, snappy: SnappyBlocks): Uint8Array => {
  const blocks: Array<Uint8Array> = []
  if (isFramed(bytes)) {
    const view = viewOf(bytes)
    let at = HEADER_SIZE
    while (at < bytes.length) {
      if (bytes.length - at < 4) throw malformed(at, "a snappy chunk without a length")
      const length = view.getInt32(at)
      at += 4
      if (length < 0 || length > bytes.length - at) {
        throw malformed(at, `a snappy chunk of ${length} bytes, ${bytes.length - at} left`)
      }
      blocks.push(bytes.subarray(at, at + length))
      at += length
    }
  } else blocks.push(bytes)
  const total = blocks.reduce((size, block) => size + announcedSize(block, 0), 0)
  if (total > maxSize) throw malformed(0, `snappy data of ${total} bytes, at most ${maxSize} are allowed`)
  return concat(blocks.map((block) => snappy.decompress(block)))
}
