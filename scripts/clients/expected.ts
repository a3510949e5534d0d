/**
 * What each client's flows see, of Apache Kafka 4.3.1 and so of the embedded broker. Where clients differ, it is the
 * clients: how they name an error, and what they leave out.
 */
import { type Client, franzGo, java, kafkajs, librdkafka, platformatic, streams } from "./clients.ts"
import type { Saw } from "./run.ts"

interface Names {
  /** The commit of a producer that another instance has replaced. */
  readonly fenced: string
  /** The commit of a transaction that the coordinator has aborted, after its timeout. */
  readonly late: string
}

const common = ({ fenced, late }: Names): Readonly<Record<string, Saw>> => ({
  produce: { acknowledged: 300, read: 300, distinct: 300, open: 0 },
  transactions: { committed: "ac", visible: 20, written: 30, open: 0 },
  copy: { copied: 600, aborted: true, committed: true, verdict: "Exact", open: 0 },
  fence: { zombie: fenced, visible: ["new"], open: 0 },
  timeout: { late, visible: ["again"], open: 0 },
  restart: { visible: ["kept"], open: 0 }
})

/** Of the two offsets that a member commits, the one it may not commit is missing. */
const stale = (refused: string): Saw => ({ old: refused, now: "OK", committed: [-1, 7], visible: ["output"], open: 0 })

const copy848: Saw = { copied: 600, aborted: true, committed: true, verdict: "Exact", open: 0 }

/** By client and flow; the flows that a client has none of are left out. */
export const expected = (transactionVersion: 1 | 2): ReadonlyMap<Client, Readonly<Record<string, Saw>>> => {
  // With transactions of KIP-890 a timeout has bumped the epoch once more than the producer knows of.
  const timedOut = (old: string, now: string) => transactionVersion === 1 ? old : now
  return new Map<Client, Readonly<Record<string, Saw>>>([
    [kafkajs, {
      ...common({ fenced: "INVALID_PRODUCER_EPOCH", late: "INVALID_PRODUCER_EPOCH" }),
      // It names no member when it commits, so a broker cannot refuse one that has left the group.
      stale: { old: "OK", ended: "OK", committed: [-1, -1, 7], visible: ["output"], open: 0 }
    }],
    [platformatic, {
      ...common({ fenced: "PRODUCER_FENCED", late: "PRODUCER_FENCED" }),
      stale: { old: "ILLEGAL_GENERATION", now: "OK", visible: ["output"], open: 0 },
      // It names generation 0 instead of its member epoch.
      member848: { inTransaction: "ILLEGAL_GENERATION", outside: "OK", visible: [], open: 0 }
    }],
    [librdkafka, {
      ...common({ fenced: "_FENCED", late: "_FENCED" }),
      stale: stale("ILLEGAL_GENERATION"),
      copy848,
      stale848: stale("ILLEGAL_GENERATION")
    }],
    [java, {
      ...common({
        fenced: "ProducerFencedException",
        late: timedOut("ProducerFencedException", "InvalidTxnStateException")
      }),
      stale: stale("CommitFailedException"),
      copy848,
      stale848: stale("CommitFailedException")
    }],
    [streams, {
      counts: { seen: 600, failures: 0, closed: true, keys: 15, total: 600, wrong: [], open: 0 }
    }],
    [franzGo, {
      ...common({ fenced: "PRODUCER_FENCED", late: timedOut("PRODUCER_FENCED", "INVALID_TXN_STATE") }),
      // Its session does not try: it has seen the rebalance, and aborts.
      stale: { error: "OK", ended: false, committed: [], visible: [], open: 0 },
      copy848,
      stale848: { error: "OK", ended: false, committed: [], visible: [], open: 0 }
    }]
  ])
}
