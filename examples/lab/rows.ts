/**
 * The rows of the lab: the pipeline whole, and with one of its pieces taken out.
 */

/** Between which two writes of a pipeline a crash does the most harm: the request before which it is stopped. */
export type Weakest = "AddOffsetsToTxn" | "OffsetCommit" | "Produce"

export interface Row {
  readonly name: string
  readonly title: string
  /** `core`: our layers; `plain`: a loop of its own, on kafkajs as it is. */
  readonly worker: "core" | "plain"
  /** Told to the worker by its environment. */
  readonly mode: "whole" | "resend" | "transaction" | "before" | "after"
  readonly weakest: Weakest
  readonly reader: "read_committed" | "read_uncommitted"
  /** What guards, or is missing. */
  readonly remark: string
}

export const rows: ReadonlyArray<Row> = [
  {
    name: "whole",
    title: "all pieces in place",
    worker: "core",
    mode: "whole",
    weakest: "AddOffsetsToTxn",
    reader: "read_committed",
    remark: "each fault ends in an abort that nobody sees, and a redo"
  },
  {
    name: "sequences",
    title: "without the producer's sequences",
    worker: "core",
    mode: "resend",
    weakest: "AddOffsetsToTxn",
    reader: "read_committed",
    remark:
      "a batch whose answer was lost goes out again under new sequence numbers, which no broker can know for a copy"
  },
  {
    name: "offsets-after",
    title: "without the transaction: offsets after the outputs",
    worker: "plain",
    mode: "after",
    weakest: "OffsetCommit",
    reader: "read_committed",
    remark: "outputs stay, offsets do not: whoever comes next does the work again"
  },
  {
    name: "offsets-before",
    title: "without the transaction: offsets before the outputs",
    worker: "plain",
    mode: "before",
    weakest: "Produce",
    reader: "read_committed",
    remark: "offsets stay, outputs never come: the work is skipped"
  },
  {
    name: "fencing",
    title: "without fencing: one transactional.id per worker, no group metadata",
    worker: "plain",
    mode: "transaction",
    weakest: "AddOffsetsToTxn",
    reader: "read_committed",
    remark: "a thawed zombie commits work that its successor has done"
  },
  {
    name: "read-committed",
    title: "without the committed reader downstream",
    worker: "core",
    mode: "whole",
    weakest: "AddOffsetsToTxn",
    reader: "read_uncommitted",
    remark: "what aborted is in the log, and this reader counts it"
  }
]
