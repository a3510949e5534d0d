import { Codecs } from "@exactly-once/protocol"
import { crc32c } from "./crc32c.ts"
import { lz4 } from "./lz4.ts"
import { snappy } from "./snappy.ts"
import { gzip, zstd } from "./zlib.ts"

export { crc32c } from "./crc32c.ts"
export { CodecUnavailable } from "./guarded.ts"
export { lz4 } from "./lz4.ts"
export { snappy } from "./snappy.ts"
export { gzip, zstd } from "./zlib.ts"

/** Every compression type Kafka has, and the fastest CRC this platform offers: the registry for Node. */
export const codecs: Codecs.Codecs = Codecs.make({ crc32c, gzip, snappy, lz4, zstd })
