/** The aborted transactions of one partition, in the order of their markers. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** The offset of the marker. */
  readonly lastOffset: number
  /** The last stable offset just after the marker: no later entry can start below it. */
  readonly lastStableOffset: number
}

export class AbortedIndex {
  private entries: Array<AbortedTransaction> = []

  append(entry: AbortedTransaction): void {
    this.entries.push(entry)
  }

  get size(): number {
    return this.entries.length
  }

  /**
   * The transactions that a reader of `[from, upTo)` must know. One whose marker is at `from` is still among them, though all of its data
   * is below.
   */
  between(from: number, upTo: number): Array<AbortedTransaction> {
    const found: Array<AbortedTransaction> = []
    for (let i = this.firstEndingFrom(from); i < this.entries.length; i++) {
      const entry = this.entries[i]!
      if (entry.firstOffset < upTo) found.push(entry)
      if (entry.lastStableOffset >= upTo) break
    }
    return found
  }

  private firstEndingFrom(offset: number): number {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.entries[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Drops what lies wholly below the start of the log. */
  dropBelow(offset: number): void {
    const first = this.firstEndingFrom(offset)
    if (first > 0) this.entries = this.entries.slice(first)
  }

  /** Drops what a truncated log no longer has. */
  dropFrom(offset: number): void {
    this.entries = this.entries.filter((entry) => entry.lastOffset < offset)
  }

  snapshot(): Array<AbortedTransaction> {
    return [...this.entries]
  }

  static restore(entries: ReadonlyArray<AbortedTransaction>): AbortedIndex {
    const index = new AbortedIndex()
    index.entries = [...entries]
    return index
  }
}
