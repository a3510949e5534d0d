import { crc32c } from "../crc32c.ts"
import * as BatchHead from "./BatchHead.ts"

/** A copy of a batch that carries the broker's time instead of the client's. */
export const stamped = (batch: Uint8Array, timestamp: number): Uint8Array => {
  const copy = batch.slice()
  const view = BatchHead.viewOf(copy)
  BatchHead.stamp(view, 0, timestamp)
  BatchHead.setCrc(view, 0, crc32c(copy.subarray(BatchHead.CRC_FROM)))
  return copy
}
