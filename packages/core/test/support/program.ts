/**
 * The pieces that most tests put together: a Kafka in memory, a session, a consumer, and what became of each transaction.
 */
import { Effect, Layer } from "effect"
import { CommittedConsumer, type Outcome, Topic, TransactionalSession } from "../../src/index.ts"
import * as MemoryKafka from "./MemoryKafka.ts"

export const Input = Topic.string("in")
export const Output = Topic.string("out")

export interface SetUp {
  readonly kafka?: MemoryKafka.Options
  readonly session?: Partial<TransactionalSession.Options>
  readonly consumer?: Partial<CommittedConsumer.Options>
}

export const setUp = (options: SetUp = {}) => {
  const kafka = MemoryKafka.make(options.kafka)
  kafka.createTopic("in")
  kafka.createTopic("out")
  const outcomes: Array<Outcome.Outcome> = []
  const session = TransactionalSession.layer({
    transactionalIdPrefix: "app",
    replica: "app-0",
    onOutcome: (outcome) => Effect.sync(() => outcomes.push(outcome)),
    ...options.session
  })
  const consumer = CommittedConsumer.layer({ groupId: "g", ...options.consumer })
  const layer = Layer.mergeAll(session, consumer).pipe(Layer.provide(kafka.layer))
  return { kafka, layer, outcomes, session, consumer }
}

/** Suspends until `condition` holds, without a clock. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.yieldNow, until(condition)))

/** Lets everything run that can. */
export const idle: Effect.Effect<void> = Effect.repeat(Effect.yieldNow, { times: 100 })

/** What was read, as it was, for one partition of the output. */
export const copied = (
  records: ReadonlyArray<Topic.RecordOf<typeof Input>>,
  partition = 0
): ReadonlyArray<Topic.OutRecord<string, string>> => records.map(({ key, value }) => ({ key, value, partition }))
