export * from "./Api.ts"
export { BatchBuilder, type BatchOptions, type RecordInput } from "./BatchBuilder.ts"
export * as Codecs from "./Codecs.ts"
export * as ConsumerProtocol from "./ConsumerProtocol.ts"
export * as ControlRecord from "./ControlRecord.ts"
export * as Crc32c from "./Crc32c.ts"
export {
  CorruptBatch,
  MalformedBytes,
  type MalformedReason,
  UnencodableValue,
  UnknownCodec,
  UnsupportedVersion
} from "./errors.ts"
export * as Frame from "./Frame.ts"
export * as Apis from "./generated/apis.ts"
export * from "./generated/index.ts"
export * as Lz4Frame from "./Lz4Frame.ts"
export * as Murmur2 from "./Murmur2.ts"
export * as ReadCommitted from "./ReadCommitted.ts"
export { Reader, type UnknownTag } from "./Reader.ts"
export {
  advanceSequence,
  type ProducerStamp,
  RecordBatch,
  RecordCursor,
  setBaseOffset,
  setPartitionLeaderEpoch,
  setProducer,
  type Split
} from "./RecordBatch.ts"
export { type RecordHeader, RecordView } from "./RecordView.ts"
export * as Uuid from "./Uuid.ts"
export { Writer } from "./Writer.ts"
export * as Xerial from "./Xerial.ts"
