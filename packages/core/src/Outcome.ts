/**
 * How a transaction ended, told to `onOutcome`: the truth, which an `Exit` cannot say (an interrupt during the commit
 * leaves `Interrupt`, although it committed).
 */
import type { TopicPartition } from "./TopicPartition.ts"
import type { AbortReason } from "./TransactionError.ts"

interface Common {
  readonly transactionalId: string
  /** The input partitions whose offsets were in it. */
  readonly partitions: ReadonlyArray<TopicPartition>
  /** Records handed to the driver. */
  readonly emitted: number
  readonly elapsedMs: number
}

/** Visible to read_committed consumers, offsets and all. `resolved`: EndTxn's answer was lost and the token was found. */
export interface Committed extends Common {
  readonly _tag: "Committed"
  readonly resolved: boolean
}

/** Nothing of it is visible. */
export interface Aborted extends Common {
  readonly _tag: "Aborted"
  readonly reason: AbortReason | "Fenced" | "TimedOut"
  readonly description: string
}

/** Could not be told. The consumer has not moved. */
export interface Unknown extends Common {
  readonly _tag: "Unknown"
  readonly description: string
}

/** Neither records nor offsets: nothing was sent. */
export interface Empty extends Common {
  readonly _tag: "Empty"
}

export type Outcome = Committed | Aborted | Unknown | Empty
