import * as BatchHead from "./BatchHead.ts"

/**
 * A stretch of batches in one buffer, in log order. Bytes once written are never written again, so a response may go on reading a view of
 * them however long its socket takes. The four arrays are the index: one entry per batch.
 */
export class Segment {
  readonly bytes: Uint8Array
  readonly view: DataView
  size = 0
  readonly positions: Array<number> = []
  readonly bases: Array<number> = []
  /** One past the last offset of each batch. */
  readonly ends: Array<number> = []
  readonly maxTimestamps: Array<number> = []

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity)
    this.view = BatchHead.viewOf(this.bytes)
  }

  get room(): number {
    return this.bytes.length - this.size
  }

  get firstOffset(): number {
    return this.bases[0]!
  }

  get endOffset(): number {
    return this.ends[this.ends.length - 1]!
  }

  /** Copies a batch in and gives it its place; answers where it starts. */
  append(batch: Uint8Array, baseOffset: number, count: number, leaderEpoch: number, maxTimestamp: number): number {
    const at = this.size
    this.bytes.set(batch, at)
    BatchHead.place(this.view, at, baseOffset, leaderEpoch)
    this.size += batch.length
    this.positions.push(at)
    this.bases.push(baseOffset)
    this.ends.push(baseOffset + count)
    this.maxTimestamps.push(maxTimestamp)
    return at
  }

  /** The index of the first batch that ends after `offset`; the number of batches when there is none. */
  indexAfter(offset: number): number {
    let low = 0
    let high = this.ends.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.ends[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The number of batches that end at or before `offset`. */
  indexThrough(offset: number): number {
    const index = this.indexAfter(offset - 1)
    return index < this.ends.length && this.ends[index]! <= offset ? index + 1 : index
  }

  /** The index of the batch that the byte at `position` belongs to. */
  indexAt(position: number): number {
    let low = 0
    let high = this.positions.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.positions[middle]! <= position) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Where batch `index` starts; the size of the segment for the index past the last one. */
  position(index: number): number {
    return index < this.positions.length ? this.positions[index]! : this.size
  }

  /** One batch, as a view. */
  batch(index: number): Uint8Array {
    return this.bytes.subarray(this.position(index), this.position(index + 1))
  }
}
