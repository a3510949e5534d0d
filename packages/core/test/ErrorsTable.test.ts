import { assert, describe, it } from "@effect/vitest"
import { Duration, Predicate } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Core from "../src/index.ts"

const { Driver, IdempotentProducer, KafkaError, TransactionError } = Core

/** One of each, with what a real one would hold. */
const samples: Readonly<Record<string, Error>> = {
  KafkaUnavailable: new KafkaError.KafkaUnavailable({
    operation: "connect",
    description: "Connect to 127.0.0.1:9092 failed: Connection error: connect ECONNREFUSED 127.0.0.1:9092"
  }),
  Unauthorized: new KafkaError.Unauthorized({
    operation: "init",
    code: 53,
    description:
      `InitProducerId was answered with 53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED for transactional.id "app-0": the principal needs Write on this transactional.id`
  }),
  Misconfigured: new KafkaError.Misconfigured({
    setting: "bodyTimeout",
    description:
      "bodyTimeout 9000 ms + commitMargin 1000 ms must be below transactionTimeout 10000 ms, or the coordinator aborts before the session does"
  }),
  KafkaFailure: new KafkaError.KafkaFailure({
    operation: "poll",
    code: 42,
    description: "Fetch was answered with 42 INVALID_REQUEST"
  }),
  CorruptRecord: new KafkaError.CorruptRecord({
    topic: "orders",
    partition: 3,
    description: "the batch at offset 17 does not match its checksum"
  }),
  DecodeError: new KafkaError.DecodeError({
    topic: "orders",
    partition: 3,
    offset: 17n,
    part: "value",
    description: "Missing key at [\"amount\"]"
  }),
  EncodeError: new KafkaError.EncodeError({
    topic: "invoices",
    index: 4,
    part: "value",
    description: "Expected a finite number at [\"total\"]"
  }),
  InvalidRecord: new KafkaError.InvalidRecord({
    topic: "invoices",
    code: 10,
    description:
      "Produce was answered with 10 MESSAGE_TOO_LARGE for topic invoices-0: the record is larger than the topic's max.message.bytes"
  }),
  OffsetOutOfRange: new KafkaError.OffsetOutOfRange({
    topic: "orders",
    partition: 3,
    offset: 17n,
    description: "the log starts at 40. Set the group's offset to where the work should go on, then start again"
  }),
  ProducerFenced: new TransactionError.ProducerFenced({
    transactionalId: "app-orders-3",
    by: "GroupMember",
    description: "EndTxn was answered with 47 INVALID_PRODUCER_EPOCH"
  }),
  TransactionTimedOut: new TransactionError.TransactionTimedOut({
    transactionalId: "app-orders-3",
    phase: "Body",
    enforcedBy: "Session",
    budget: Duration.millis(7_000),
    elapsed: Duration.millis(7_003)
  }),
  TransactionAborted: new TransactionError.TransactionAborted({
    transactionalId: "app-orders-3",
    reason: "Rebalanced",
    description: "its partition is not ours any more"
  }),
  CommitOutcomeUnknown: new TransactionError.CommitOutcomeUnknown({
    transactionalId: "app-orders-3",
    elapsed: Duration.millis(9_400),
    description: "EndTxn was sent and not answered"
  }),
  ReplicaClash: new TransactionError.ReplicaClash({ replica: "worker-0", incarnation: 65_536n, newer: 65_537n }),
  TransactionMisuse: new TransactionError.TransactionMisuse({
    reason: "Ended",
    description: "the transaction's body has ended; a fiber that emits must be joined inside the body"
  }),
  DeliveryUnknown: new IdempotentProducer.DeliveryUnknown({
    topic: "invoices",
    records: 3,
    description: "Produce was sent and not answered"
  }),
  DriverError: new Driver.DriverError({
    operation: "flush",
    failure: "Unavailable",
    code: 6,
    description: "Produce was answered with 6 NOT_LEADER_OR_FOLLOWER"
  })
}

/** The error classes that the package exports, by tag. */
const exported = Object.values(Core).flatMap((module) =>
  Object.entries(module).flatMap(([name, value]: readonly [string, unknown]) =>
    Predicate.isFunction(value) && Predicate.hasProperty(value, "prototype") && value.prototype instanceof Error
      ? [name]
      : []
  )
)

interface Row {
  readonly name: string
  readonly cells: ReadonlyArray<string>
}

/** Rows of the document's tables: `| name | ... |`. */
const rows: ReadonlyArray<Row> = readFileSync(join(import.meta.dirname, "../../../docs/errors.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim())
    const name = /^`(?:\w+\.)*(\w+)`$/.exec(cells[0] ?? "")?.[1]
    return name === undefined ? [] : [{ name, cells }]
  })

describe("docs/errors.md", () => {
  it("has one row for each error class that the package exports, and none besides", () => {
    assert.isAbove(exported.length, 10)
    assert.deepStrictEqual(Object.keys(samples).toSorted(), exported.toSorted())
    assert.deepStrictEqual(rows.map(({ name }) => name).toSorted(), exported.toSorted())
  })

  it.each(Object.entries(samples))(
    "%s: says when, what to do, and quotes its message as it is printed",
    (tag, sample) => {
      const row = rows.find(({ name }) => name === tag)
      assert.strictEqual(row?.cells.length, 4)
      const [, when = "", todo = "", example] = row?.cells ?? []
      assert.isAbove(when.length, 20)
      assert.isAbove(todo.length, 20)
      assert.strictEqual(example, `\`${sample.message}\``)
    }
  )
})
