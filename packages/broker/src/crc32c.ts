/** The CRC of record batches, the fastest this platform has. */
export { crc32c } from "@exactly-once/codecs"
