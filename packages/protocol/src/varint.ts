// Zigzag varints, as record batches use them. Sizes are computed first, so that a record's length can precede it.

/** Bytes of an unsigned 32-bit varint. */
const uvarintSize = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5

/** Bytes of a signed 32-bit number. */
export const varintSize = (value: number): number => uvarintSize(((value << 1) ^ (value >> 31)) >>> 0)

/** Writes a signed 32-bit number and answers the position after it. */
export const writeVarint = (bytes: Uint8Array, start: number, value: number): number => {
  let at = start
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

const zigzag64 = (value: bigint): bigint => BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))

/** Bytes of a signed 64-bit number. */
export const varlongSize = (value: bigint): number => {
  let rest = zigzag64(value)
  let size = 1
  while (rest > 127n) {
    rest >>= 7n
    size++
  }
  return size
}

/** Writes a signed 64-bit number and answers the position after it. */
export const writeVarlong = (bytes: Uint8Array, start: number, value: bigint): number => {
  let at = start
  let rest = zigzag64(value)
  while (rest > 127n) {
    bytes[at++] = Number(rest & 127n) | 128
    rest >>= 7n
  }
  bytes[at++] = Number(rest)
  return at
}

/** Reads a signed 64-bit number whose end has been checked before. */
export const readVarlong = (bytes: Uint8Array, start: number): bigint => {
  let value = 0n
  let shift = 0n
  for (let at = start;; at++) {
    const byte = bytes[at]!
    value |= BigInt(byte & 127) << shift
    if (byte < 128) break
    shift += 7n
  }
  const unsigned = BigInt.asUintN(64, value)
  return BigInt.asIntN(64, (unsigned >> 1n) ^ -(unsigned & 1n))
}
