/**
 * Finds a transaction its lane and its turn, and begins it.
 */
import * as Effect from "effect/Effect"
import { DriverError } from "../Driver.ts"
import type { Offset } from "../Offset.ts"
import { format } from "../TopicPartition.ts"
import { stopped } from "./lane.ts"
import * as Machine from "./laneMachine.ts"
import type { Begun, Driven } from "./openTransaction.ts"
import type { SessionRuntime } from "./sessionRuntime.ts"

/** The partitions of an enlisted batch were given away, or rewound, since it was delivered. */
const isStale = (transaction: Driven): boolean =>
  transaction.shares.some(({ fetched, ownership }) =>
    transaction.runtime?.ownership.mayBegin(fetched, ownership) !== true
  )

/** Of batches of one partition that a program enlists side by side, the older one begins first. */
const inTurn = (transaction: Driven): boolean => {
  const places = new Map<string, Offset>()
  return transaction.shares.every(({ fetched, start }) => {
    const joined = places.get(format(fetched)) === start
    places.set(format(fetched), fetched.nextOffset)
    return joined || transaction.runtime?.ownership.isNext(fetched, start) === true
  })
}

const staleBatch = (transaction: Driven) => {
  transaction.stale = true
  return new DriverError({
    operation: "begin",
    failure: "Rebalanced",
    description: `the batch of ${transaction.shares.map(({ fetched }) => format(fetched)).join(", ")} is stale: ` +
      `its partition was given away or rewound since it was delivered`
  })
}

const closed = new DriverError({ operation: "begin", failure: "Unavailable", description: "the session is closed" })

const over = new DriverError({ operation: "begin", failure: "Abortable", description: "the transaction was given up" })

/** Suspends until the lane lets it begin. Answers the same `Begun` when asked again. */
export const admit = (session: SessionRuntime, transaction: Driven): Effect.Effect<Begun, DriverError> =>
  Effect.suspend(() => {
    if (transaction.begun !== undefined) return Effect.succeed(transaction.begun)
    const [first] = transaction.shares
    const entry = first === undefined ? session.producerLane : session.laneOf(first.fetched)
    const { lane } = entry
    const { restore } = transaction

    const begin = Effect.gen(function*() {
      // A fiber that outlived its body: nobody would end what it begins.
      if (transaction.over) return yield* over
      lane.dispatch({ _tag: "Began" })
      const open = lane.state().open.at(-1)
      if (open === undefined) return yield* Effect.die(new Error("a transaction that began is open"))
      const { seq, slot } = open
      for (const { fetched } of transaction.shares) transaction.runtime?.ownership.begin(fetched, fetched.nextOffset)
      lane.nudge()
      // Before begin is answered, so that a revocation waits for it.
      entry.open.add(transaction)
      const handle = yield* lane.producer(slot).pipe(
        Effect.flatMap((producer) => transaction.bounded("begin", producer.begin)),
        Effect.tapError(() =>
          Effect.sync(() => {
            // Whatever begin did not manage, the producer needs a new epoch before it is asked again.
            entry.open.delete(transaction)
            lane.dispatch({ _tag: "Touched", seq })
            lane.dispatch({ _tag: "Ended", seq, end: "Failed" })
          })
        )
      )
      const begun: Begun = {
        entry,
        seq,
        handle,
        transactionalId: lane.transactionalIds[slot] ?? session.settings.transactionalIdPrefix,
        startedAt: yield* session.now
      }
      transaction.begun = begun
      return begun
    })

    const turn: Effect.Effect<Begun, DriverError> = Effect.gen(function*() {
      if (transaction.begun !== undefined) return transaction.begun
      while (true) {
        if (isStale(transaction)) return yield* staleBatch(transaction)
        const leave = yield* restore(lane.leave(Machine.mayBegin))
        if (session.closed()) return yield* closed
        if (leave === "Stopped") return yield* stopped
        if (leave === "Recover") {
          const outcome = yield* restore(lane.recover(transaction.runtime, () => session.holdersOf(entry))).pipe(
            Effect.tapError(() =>
              Effect.sync(() => {
                transaction.unmended = true
              })
            )
          )
          if (outcome === "NotOwner") return yield* staleBatch(transaction)
          continue
        }
        if (!isStale(transaction)) return yield* transaction.alone(begin)
      }
    })

    const place = Effect.andThen(
      restore(lane.until(() => transaction.begun !== undefined || isStale(transaction) || inTurn(transaction))),
      Effect.acquireUseRelease(
        restore(lane.admission.take(1)),
        () => Effect.uninterruptible(turn),
        () => lane.admission.release(1)
      )
    )
    return Effect.uninterruptible(place)
  })
