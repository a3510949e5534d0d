/**
 * CRC-32C (Castagnoli), eight bytes per step. kafkajs writes checksums and never reads them; this driver reads them too.
 */
const tables: ReadonlyArray<Int32Array> = (() => {
  const all = Array.from({ length: 8 }, () => new Int32Array(256))
  const first = all[0] as Int32Array // eight were just made
  for (let n = 0; n < 256; n++) {
    let c = n
    for (let k = 0; k < 8; k++) c = (c & 1) === 0 ? c >>> 1 : (c >>> 1) ^ 0x82f63b78
    first[n] = c
  }
  for (let n = 0; n < 256; n++) {
    let c = first[n] ?? 0
    for (let k = 1; k < 8; k++) {
      c = (first[c & 255] ?? 0) ^ (c >>> 8)
      const table = all[k]
      if (table !== undefined) table[n] = c
    }
  }
  return all
})()

// Eight names instead of an array of arrays, and `!` for indices that a mask keeps in range: this loop sees every byte.
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as unknown as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array
]

/** The checksum of `bytes[start, end)`, as an unsigned 32 bit number. */
export const crc32c = (bytes: Uint8Array, start: number, end: number): number => {
  let c = -1
  let at = start
  for (; at + 8 <= end; at += 8) {
    c ^= bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24
    c = t7[c & 255]! ^ t6[c >>> 8 & 255]! ^ t5[c >>> 16 & 255]! ^ t4[c >>> 24]! ^
      t3[bytes[at + 4]!]! ^ t2[bytes[at + 5]!]! ^ t1[bytes[at + 6]!]! ^ t0[bytes[at + 7]!]!
  }
  for (; at < end; at++) c = t0[(c ^ bytes[at]!) & 255]! ^ c >>> 8
  return (c ^ -1) >>> 0
}
