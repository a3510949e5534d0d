/** What goes on in a cluster that loses nodes: leaders and coordinators move, connections break, everything restarts. */
import type { BrokerShape } from "@exactly-once/broker"
import { Effect } from "effect"
import type { Names } from "./run.ts"

/** One event every `everyMs`, each kind in its turn, every third time round a restart. Then peace: whatever was stuck must go on. */
export const unrest = (
  broker: BrokerShape,
  { group, topics, transactionalId }: Names,
  everyMs: number,
  events: number
) =>
  Effect.gen(function*() {
    for (let i = 0; i < events; i++) {
      const round = Math.floor(i / 5)
      yield* Effect.sleep(everyMs)
      switch (i % 5) {
        case 0:
          for (const topic of topics) yield* Effect.orDie(broker.moveLeader(topic, round % 3))
          break
        case 1:
          yield* broker.moveTransactionCoordinator(transactionalId)
          break
        case 2:
          yield* broker.moveGroupCoordinator(group)
          break
        case 3:
          yield* broker.disconnect(1 + round % 3)
          break
        case 4:
          if (round % 3 === 0) yield* broker.restart(100)
      }
    }
    return yield* Effect.never
  })
