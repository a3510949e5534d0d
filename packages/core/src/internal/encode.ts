/**
 * Records on their way out: all of a call are encoded, or none.
 */
import * as Result from "effect/Result"
import type { EncodedRecord } from "../Driver.ts"
import { EncodeError } from "../KafkaError.ts"
import type * as Topic from "../Topic.ts"

export const encode = <K, V>(
  topic: Topic.Topic<string, K, V>,
  records: ReadonlyArray<Topic.OutRecord<K, V>>
): Result.Result<ReadonlyArray<EncodedRecord>, EncodeError> => {
  const encoded: Array<EncodedRecord> = []
  for (let index = 0; index < records.length; index++) {
    const record = records[index]
    if (record === undefined) continue
    const refuse = (part: "key" | "value", description: string) =>
      Result.fail(new EncodeError({ topic: topic.name, index, part, description }))
    const key = topic.key.encode(record.key)
    if (Result.isFailure(key)) return refuse("key", key.failure)
    const value = topic.value.encode(record.value)
    if (Result.isFailure(value)) return refuse("value", value.failure)
    encoded.push({
      key: key.success,
      value: value.success,
      headers: record.headers,
      timestamp: record.timestamp,
      partition: record.partition
    })
  }
  return Result.succeed(encoded)
}
