/**
 * Failures outside a transaction's own life: the cluster, the settings, the records.
 */
import * as Schema from "effect/Schema"

/** No broker answered in time, or no coordinator could be found. Nothing was lost; try again when the cluster is back. */
export class KafkaUnavailable extends Schema.TaggedError<KafkaUnavailable>()("KafkaUnavailable", {
  operation: Schema.String,
  description: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `${this.operation}: ${this.description}`
  }
}

/** Authentication failed, or an ACL forbids the operation. `docs/operations/acls.md` lists what each layer needs. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {
  operation: Schema.String,
  code: Schema.optionalKey(Schema.Int),
  description: Schema.String
}) {
  override get message() {
    return `${this.operation}: ${this.description}`
  }
}

/** A setting that cannot work, named. Raised before the first record is read. */
export class Misconfigured extends Schema.TaggedError<Misconfigured>()("Misconfigured", {
  setting: Schema.String,
  description: Schema.String
}) {
  override get message() {
    return `${this.setting}: ${this.description}`
  }
}

/** Bytes of a fetched batch do not match their checksum or cannot be decompressed. Nothing of it was processed. */
export class CorruptRecord extends Schema.TaggedError<CorruptRecord>()("CorruptRecord", {
  topic: Schema.String,
  partition: Schema.Int,
  description: Schema.String
}) {
  override get message() {
    return `${this.topic}-${this.partition}: ${this.description}`
  }
}

/** A record's key or value does not decode with its topic's schema. The offset was not committed: nothing is lost. */
export class DecodeError extends Schema.TaggedError<DecodeError>()("DecodeError", {
  topic: Schema.String,
  partition: Schema.Int,
  offset: Schema.BigInt,
  part: Schema.Literals(["key", "value"]),
  description: Schema.String
}) {
  override get message() {
    return `the ${this.part} of ${this.topic}-${this.partition} at offset ${this.offset} does not decode: ${this.description}. ` +
      "Mend the topic's schema, or set the group's offset past the record"
  }
}

/** A record to be written does not encode with its topic's schema. Nothing of the call was sent. */
export class EncodeError extends Schema.TaggedError<EncodeError>()("EncodeError", {
  topic: Schema.String,
  /** Position in the records given. */
  index: Schema.Int,
  part: Schema.Literals(["key", "value"]),
  description: Schema.String
}) {
  override get message() {
    return `the ${this.part} of record ${this.index} for ${this.topic} does not encode: ${this.description}`
  }
}

/** A record that Kafka or the driver refuses: too large, a null header where none may be, a partition that is not there. */
export class InvalidRecord extends Schema.TaggedError<InvalidRecord>()("InvalidRecord", {
  topic: Schema.String,
  code: Schema.optionalKey(Schema.Int),
  description: Schema.String
}) {
  override get message() {
    return `${this.topic}: ${this.description}`
  }
}

/**
 * The position to read from lies outside the log: records were deleted before they were processed, or the topic was
 * made anew. Never reset silently: decide, and set the group's offset.
 */
export class OffsetOutOfRange extends Schema.TaggedError<OffsetOutOfRange>()("OffsetOutOfRange", {
  topic: Schema.String,
  partition: Schema.Int,
  /** Left out where the group has no offset and `startFrom` is "fail". */
  offset: Schema.optionalKey(Schema.BigInt),
  description: Schema.String
}) {
  override get message() {
    const missing = this.offset === undefined ? "where to start" : `offset ${this.offset}`
    return `${this.topic}-${this.partition} does not have ${missing}: ${this.description}`
  }
}

/** Something no retry mends and no class above names: a broker's answer that breaks the protocol. */
export class KafkaFailure extends Schema.TaggedError<KafkaFailure>()("KafkaFailure", {
  operation: Schema.String,
  code: Schema.optionalKey(Schema.Int),
  description: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `${this.operation}: ${this.description}`
  }
}

/** What any layer may meet. */
export type KafkaError = KafkaUnavailable | Unauthorized | Misconfigured | KafkaFailure
