/** The CRC of record batches: CRC-32C, the Castagnoli polynomial. `zlib.crc32` is another one. */

/** Computes a CRC-32C as an unsigned 32-bit number. */
export type Crc32c = (bytes: Uint8Array) => number

const POLYNOMIAL = 0x82f63b78

// Eight tables in one array: tables[256 * n + b] is the effect of byte b with n zero bytes after it.
const tables = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  tables[byte] = crc
}
for (let i = 256; i < 8 * 256; i++) {
  const previous = tables[i - 256]!
  tables[i] = (previous >>> 8) ^ tables[previous & 255]!
}

/** CRC-32C in plain JavaScript, eight bytes a step. Other implementations come in through `Codecs`. */
export const crc32c: Crc32c = (bytes) => {
  let crc = -1
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc = tables[1792 + (crc & 255)]! ^ tables[1536 + ((crc >>> 8) & 255)]! ^ tables[1280 + ((crc >>> 16) & 255)]! ^
      tables[1024 + (crc >>> 24)]! ^ tables[768 + bytes[at + 4]!]! ^ tables[512 + bytes[at + 5]!]! ^
      tables[256 + bytes[at + 6]!]! ^ tables[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ tables[(crc ^ bytes[at]!) & 255]!
  return ~crc >>> 0
}
