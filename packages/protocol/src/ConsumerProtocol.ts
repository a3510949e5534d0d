/** The blobs that members of a classic consumer group exchange: an int16 version, then a message without a header. */
import { MalformedBytes } from "./errors.ts"
import * as Assignment from "./generated/ConsumerProtocolAssignment.ts"
import * as Subscription from "./generated/ConsumerProtocolSubscription.ts"
import { Reader } from "./Reader.ts"
import { Writer } from "./Writer.ts"

// A newer version only adds fields at the end, so members read what they know of it.
const known = (reader: Reader, maxVersion: number): number => {
  const version = reader.int16()
  if (version < 0) throw new MalformedBytes("InvalidRecord", 0, `consumer protocol version ${version}`)
  return Math.min(version, maxVersion)
}

export const decodeSubscription = (bytes: Uint8Array): Subscription.ConsumerProtocolSubscription => {
  const reader = new Reader(bytes)
  return Subscription.decode(reader, known(reader, Subscription.maxVersion))
}

export const encodeSubscription = (
  value: Subscription.ConsumerProtocolSubscriptionInput,
  version: number = Subscription.maxVersion
): Uint8Array => {
  const writer = new Writer()
  writer.int16(version)
  Subscription.encode(writer, value, version)
  return writer.finish()
}

export const decodeAssignment = (bytes: Uint8Array): Assignment.ConsumerProtocolAssignment => {
  const reader = new Reader(bytes)
  return Assignment.decode(reader, known(reader, Assignment.maxVersion))
}

export const encodeAssignment = (
  value: Assignment.ConsumerProtocolAssignmentInput,
  version: number = Assignment.maxVersion
): Uint8Array => {
  const writer = new Writer()
  writer.int16(version)
  Assignment.encode(writer, value, version)
  return writer.finish()
}
