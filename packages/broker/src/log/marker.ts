import { ControlRecord } from "@exactly-once/protocol"
import type { Marker } from "./PartitionLog.ts"

/** The control batch that ends a transaction in one partition. */
export const encodeMarker = (marker: Marker, now: number): Uint8Array =>
  ControlRecord.encodeMarker({
    type: marker.commit ? ControlRecord.COMMIT : ControlRecord.ABORT,
    producerId: BigInt(marker.producerId),
    producerEpoch: marker.producerEpoch,
    coordinatorEpoch: marker.coordinatorEpoch,
    timestamp: now
  })
