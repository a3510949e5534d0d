/**
 * The 61 bytes in front of a version 2 record batch. A broker reads no more than these to store a batch: numbers, not bigints, since
 * every offset and producer id that this broker hands out is far below 2^53, and a head is read for each batch produced.
 */
export const HEAD_SIZE = 61
const CRC_AT = 17
/** The CRC covers everything from the attributes on, so the base offset and the leader epoch can be rewritten without touching it. */
export const CRC_FROM = 21

export const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const LOG_APPEND_TIME = 0x08
export const NO_SEQUENCE = -1
const MAX_SEQUENCE = 0x7fffffff

export interface BatchHead {
  readonly baseOffset: number
  /** The whole batch, head included. */
  readonly size: number
  readonly leaderEpoch: number
  readonly magic: number
  readonly crc: number
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
}

const int64 = (view: DataView, at: number): number => view.getInt32(at) * 4_294_967_296 + view.getUint32(at + 4)

const setInt64 = (view: DataView, at: number, value: number): void => {
  view.setInt32(at, Math.floor(value / 4_294_967_296))
  view.setUint32(at + 4, value % 4_294_967_296)
}

/** The size a batch says it has, from its first twelve bytes; -1 when they are not all there. */
export const sizeAt = (view: DataView, at: number): number =>
  view.byteLength - at < 12 ? -1 : 12 + view.getInt32(at + 8)

/** Reads the head at `at`; `undefined` when fewer than 61 bytes are left. */
export const read = (view: DataView, at: number): BatchHead | undefined =>
  view.byteLength - at < HEAD_SIZE ? undefined : {
    baseOffset: int64(view, at),
    size: 12 + view.getInt32(at + 8),
    leaderEpoch: view.getInt32(at + 12),
    magic: view.getInt8(at + 16),
    crc: view.getUint32(at + CRC_AT),
    attributes: view.getInt16(at + CRC_FROM),
    lastOffsetDelta: view.getInt32(at + 23),
    baseTimestamp: int64(view, at + 27),
    maxTimestamp: int64(view, at + 35),
    producerId: int64(view, at + 43),
    producerEpoch: view.getInt16(at + 51),
    baseSequence: view.getInt32(at + 53),
    count: view.getInt32(at + 57)
  }

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Gives a stored batch its place in the log. */
export const place = (view: DataView, at: number, baseOffset: number, leaderEpoch: number): void => {
  setInt64(view, at, baseOffset)
  view.setInt32(at + 12, leaderEpoch)
}

/** Stamps a batch with the broker's time (`message.timestamp.type=LogAppendTime`). The CRC must be set anew afterwards. */
export const stamp = (view: DataView, at: number, timestamp: number): void => {
  view.setInt16(at + CRC_FROM, view.getInt16(at + CRC_FROM) | LOG_APPEND_TIME)
  setInt64(view, at + 35, timestamp)
}

export const setCrc = (view: DataView, at: number, crc: number): void => view.setUint32(at + CRC_AT, crc)

export const isTransactional = (head: BatchHead): boolean => (head.attributes & TRANSACTIONAL) !== 0
export const isControl = (head: BatchHead): boolean => (head.attributes & CONTROL) !== 0

/** Sequences wrap from 2^31-1 to 0. */
export const sequenceAfter = (sequence: number, count: number): number =>
  sequence > MAX_SEQUENCE - count ? count - (MAX_SEQUENCE - sequence) - 1 : sequence + count

export const lastSequence = (head: BatchHead): number =>
  head.baseSequence === NO_SEQUENCE ? NO_SEQUENCE : sequenceAfter(head.baseSequence, head.lastOffsetDelta)
