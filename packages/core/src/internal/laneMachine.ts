/**
 * The life of a lane: the transactions of one producer, or of producers that take turns, in the order of their input.
 * Pure: state and event in, state out. `lane.ts` does what `may` allows.
 *
 * With one open transaction this is begin, body, flush, offsets, end. With two (n and n+1 under different
 * transactional ids) the rules that keep the order are:
 * - n+1 sends only after every send of n was acknowledged, else its records can stand before n's in an output partition;
 * - n+1 offers its offsets only after n's were acknowledged: the offset with the higher log position wins, not the later
 *   commit, so offsets that overtake each other leave the group behind its own output;
 * - n+1 ends only after n is known to be committed, and when n fails n+1 is given up: its offsets would skip n's records;
 * - giving up makes every producer that sent anything take a new epoch before it begins again, since a late request of
 *   the old one must not land in a new transaction.
 */

/** How far a transaction has come. Each step includes the ones before it. */
export type Phase = "Running" | "Flushed" | "Offered" | "Ending"

/** How a transaction ended. `AbortedCleanly`: every request of it was answered, the abort too. */
export type End = "Committed" | "AbortedCleanly" | "Failed"

export interface Open {
  readonly seq: number
  /** Which of the lane's producers. */
  readonly slot: number
  readonly phase: Phase
  readonly bodyDone: boolean
  /** Given up: may only abort. */
  readonly doomed: boolean
  /** A request of it went out. */
  readonly touched: boolean
}

export interface Lane {
  /** Transactions that may be open at once; as many producers take turns. */
  readonly capacity: number
  /** `Cold`: no epoch yet. `Recovering`: an open transaction failed. `Stopped`: fenced, for good. */
  readonly status: "Cold" | "Ready" | "Recovering" | "Stopped"
  /** Oldest first. */
  readonly open: ReadonlyArray<Open>
  readonly nextSeq: number
  readonly nextSlot: number
  /** Producers that need a new epoch before they begin again. */
  readonly stale: ReadonlySet<number>
}

export type Event =
  | { readonly _tag: "Initialised" }
  | { readonly _tag: "Began" }
  | { readonly _tag: "Touched"; readonly seq: number }
  | { readonly _tag: "BodyDone"; readonly seq: number }
  | { readonly _tag: "Flushed"; readonly seq: number }
  | { readonly _tag: "Offered"; readonly seq: number }
  | { readonly _tag: "Ending"; readonly seq: number }
  | { readonly _tag: "Ended"; readonly seq: number; readonly end: End }
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Cooled" }

/** What a transaction asks leave for. */
export type Step = "Begin" | "Send" | "Offer" | "End"

/** `Doomed`: abort instead. `Recover`: nothing is open and the lane needs new epochs; whoever asks does it. */
export type Leave = "Now" | "Wait" | "Doomed" | "Recover" | "Stopped"

const order: Readonly<Record<Phase, number>> = { Running: 0, Flushed: 1, Offered: 2, Ending: 3 }

/** A lane whose producers have no epoch yet. */
export const make = (capacity: number): Lane => ({
  capacity,
  status: "Cold",
  open: [],
  nextSeq: 0,
  nextSlot: 0,
  stale: new Set(Array.from({ length: capacity }, (_, slot) => slot))
})

const find = (lane: Lane, seq: number): Open | undefined => lane.open.find((open) => open.seq === seq)

const predecessor = (lane: Lane, seq: number): Open | undefined => lane.open.findLast((open) => open.seq < seq)

const update = (lane: Lane, seq: number, change: (open: Open) => Open): Lane => ({
  ...lane,
  open: lane.open.map((open) => open.seq === seq ? change(open) : open)
})

const advance = (lane: Lane, seq: number, phase: Phase): Lane =>
  update(lane, seq, (open) => order[phase] > order[open.phase] ? { ...open, phase } : open)

const ended = (lane: Lane, seq: number, end: End): Lane => {
  const self = find(lane, seq)
  if (self === undefined) return lane
  const rest = lane.open.filter((open) => open.seq !== seq)
  if (end === "Committed") return { ...lane, open: rest }
  const stale = new Set(lane.stale)
  // A clean abort was answered, so nothing of it is in flight. Whatever else went out needs a new epoch, answered or not:
  // "nothing is open yet" is what the client believes, while its late Produce would open a transaction of the old epoch.
  if (self.touched && (end === "Failed" || rest.length > 0)) stale.add(self.slot)
  const younger = rest.filter((open) => open.seq > seq)
  for (const open of younger) if (open.touched) stale.add(open.slot)
  const doomed = rest.map((open) => open.seq > seq ? { ...open, doomed: true } : open)
  // Behind an older one, too: the turn would be that one's producer, and this one's has no new epoch yet.
  const failed = end === "Failed" || rest.length > 0
  return {
    ...lane,
    open: doomed,
    stale,
    status: failed && lane.status === "Ready" ? "Recovering" : lane.status
  }
}

export const step = (lane: Lane, event: Event): Lane => {
  switch (event._tag) {
    case "Initialised":
      return lane.status === "Stopped" ? lane : { ...lane, status: "Ready", stale: new Set() }
    case "Began":
      return {
        ...lane,
        open: [...lane.open, {
          seq: lane.nextSeq,
          slot: lane.nextSlot,
          phase: "Running",
          bodyDone: false,
          doomed: false,
          touched: false
        }],
        nextSeq: lane.nextSeq + 1,
        nextSlot: (lane.nextSlot + 1) % lane.capacity
      }
    case "Touched": {
      const self = find(lane, event.seq)
      const touched = update(lane, event.seq, (open) => ({ ...open, touched: true }))
      return self?.doomed === true ? { ...touched, stale: new Set(lane.stale).add(self.slot) } : touched
    }
    case "BodyDone":
      return update(lane, event.seq, (open) => ({ ...open, bodyDone: true }))
    case "Flushed":
      return advance(lane, event.seq, "Flushed")
    case "Offered":
      return advance(lane, event.seq, "Offered")
    case "Ending":
      return advance(lane, event.seq, "Ending")
    case "Ended":
      return ended(lane, event.seq, event.end)
    case "Stopped":
      return { ...lane, status: "Stopped" }
    case "Cooled":
      return lane.status === "Stopped"
        ? lane
        : { ...lane, status: "Cold", stale: new Set(Array.from({ length: lane.capacity }, (_, slot) => slot)) }
  }
}

/** Leave to begin the next transaction. */
export const mayBegin = (lane: Lane): Leave => {
  if (lane.status === "Stopped") return "Stopped"
  if (lane.status !== "Ready") return lane.open.length === 0 ? "Recover" : "Wait"
  if (lane.open.length >= lane.capacity) return "Wait"
  const last = lane.open.at(-1)
  return last === undefined || last.bodyDone ? "Now" : "Wait"
}

/** Leave for a step of an open transaction. */
export const may = (lane: Lane, seq: number, wanted: Exclude<Step, "Begin">): Leave => {
  const self = find(lane, seq)
  if (self === undefined || self.doomed || lane.status === "Stopped") return "Doomed"
  const before = predecessor(lane, seq)
  if (before === undefined) return "Now"
  switch (wanted) {
    case "Send":
      return order[before.phase] >= order.Flushed ? "Now" : "Wait"
    case "Offer":
      return order[before.phase] >= order.Offered ? "Now" : "Wait"
    case "End":
      return "Wait"
  }
}
