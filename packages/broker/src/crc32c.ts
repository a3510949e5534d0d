/** CRC-32C for the broker. One place, so that a faster implementation changes one line. */
import { Crc32c } from "@exactly-once/protocol"

export const crc32c = Crc32c.crc32c
