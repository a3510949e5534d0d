/** Why bytes could not be read as the message they claim to be. */
export type MalformedReason =
  | "Truncated"
  | "NegativeLength"
  | "LengthTooLarge"
  | "UnexpectedNull"
  | "InvalidVarint"
  | "InvalidTag"
  | "TrailingBytes"
  | "TooManyElements"
  | "UnsupportedMagic"
  | "InvalidRecord"
  | "InvalidCompression"

/** The bytes are not what the protocol allows at `position` (a byte index into what was being read). */
export class MalformedBytes extends Error {
  readonly _tag = "MalformedBytes"
  override readonly name = "MalformedBytes"
  readonly reason: MalformedReason
  readonly position: number
  constructor(reason: MalformedReason, position: number, detail: string) {
    super(`${detail} (at byte ${position})`)
    this.reason = reason
    this.position = position
  }
}

/** A message was asked for in a version that Kafka 4.3.1 does not serve. */
export class UnsupportedVersion extends Error {
  readonly _tag = "UnsupportedVersion"
  override readonly name = "UnsupportedVersion"
  readonly messageName: string
  readonly version: number
  constructor(messageName: string, version: number, minVersion: number, maxVersion: number) {
    super(`${messageName} has no version ${version}: ${minVersion} to ${maxVersion} are supported`)
    this.messageName = messageName
    this.version = version
  }
}

/** A value cannot be written: it does not fit its type, or its field does not exist in this version and may not be dropped. */
export class UnencodableValue extends Error {
  readonly _tag = "UnencodableValue"
  override readonly name = "UnencodableValue"
  readonly field: string
  constructor(field: string, detail: string) {
    super(`${field}: ${detail}`)
    this.field = field
  }

  static notInVersion(field: string, version: number): UnencodableValue {
    return new UnencodableValue(field, `does not exist in version ${version}, and its value is not the default`)
  }

  static nullInVersion(field: string, version: number): UnencodableValue {
    return new UnencodableValue(field, `may not be null in version ${version}`)
  }
}

/** The CRC-32C of a record batch differs from the one it carries. */
export class CorruptBatch extends Error {
  readonly _tag = "CorruptBatch"
  override readonly name = "CorruptBatch"
  readonly baseOffset: bigint
  readonly stored: number
  readonly computed: number
  constructor(baseOffset: bigint, stored: number, computed: number) {
    super(`record batch at offset ${baseOffset} carries CRC ${stored.toString(16)} but has ${computed.toString(16)}`)
    this.baseOffset = baseOffset
    this.stored = stored
    this.computed = computed
  }
}

/** A batch is compressed with a codec that the registry in use does not have. */
export class UnknownCodec extends Error {
  readonly _tag = "UnknownCodec"
  override readonly name = "UnknownCodec"
  readonly compression: number
  constructor(compression: number) {
    super(`no codec registered for compression type ${compression}`)
    this.compression = compression
  }
}
