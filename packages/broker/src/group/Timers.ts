/**
 * Deadlines of a state machine, kept in a binary heap. A heartbeat moves its deadline further away far more often than any deadline is
 * reached, so moving one later only writes a number: the heap finds out when the old place comes up, and puts the timer back.
 */

/** What a deadline belongs to, so that a test can bring one kind nearer without the others. */
export type TimerScope = "sessions" | "rebalances" | "expiry"

/** One deadline. `at` is `Infinity` while it is off. */
export interface Timer {
  readonly scope: TimerScope
  readonly fire: () => void
  at: number
  /** The earliest place that this timer has in the heap, `Infinity` when it has none. */
  queued: number
}

interface Entry {
  readonly at: number
  readonly order: number
  readonly timer: Timer
}

/** A timer that is off. */
export const makeTimer = (scope: TimerScope, fire: () => void): Timer => ({
  scope,
  fire,
  at: Infinity,
  queued: Infinity
})

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export class Timers {
  private readonly heap: Array<Entry> = []
  private readonly armed = new Set<Timer>()
  private order = 0

  /** Turns the timer on, or moves it. */
  set(timer: Timer, at: number): void {
    timer.at = at
    this.armed.add(timer)
    if (at < timer.queued) this.enqueue(timer, at)
  }

  /** Turns the timer off. */
  cancel(timer: Timer): void {
    timer.at = Infinity
    this.armed.delete(timer)
  }

  /** The earliest deadline. */
  next(): number | undefined {
    this.settle()
    return this.heap[0]?.at
  }

  /** Takes out one timer whose deadline is not after `now`; the earliest, and the one set first among equals. */
  take(now: number): { readonly timer: Timer; readonly at: number } | undefined {
    this.settle()
    const first = this.heap[0]
    if (first === undefined || first.at > now) return undefined
    this.pop()
    first.timer.queued = Infinity
    this.cancel(first.timer)
    return { timer: first.timer, at: first.at }
  }

  /** Brings every deadline of one kind nearer. */
  advance(scope: TimerScope, millis: number): void {
    for (const timer of [...this.armed]) if (timer.scope === scope) this.set(timer, timer.at - millis)
  }

  /** How many timers are on. */
  get size(): number {
    return this.armed.size
  }

  /** Afterwards the heap's first entry, if any, is a deadline that holds. */
  private settle(): void {
    for (;;) {
      const first = this.heap[0]
      if (first === undefined) return
      const { timer } = first
      if (timer.queued !== first.at) {
        this.pop()
      } else if (timer.at !== first.at) {
        this.pop()
        timer.queued = Infinity
        if (timer.at !== Infinity) this.enqueue(timer, timer.at)
      } else {
        return
      }
    }
  }

  private enqueue(timer: Timer, at: number): void {
    timer.queued = at
    const { heap } = this
    const entry: Entry = { at, order: this.order++, timer }
    let i = heap.length
    heap.push(entry)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = entry
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}
