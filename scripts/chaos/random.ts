/** Random numbers from a seed: the same seed gives the same faults. */
export interface Random {
  /** In [0, 1). */
  readonly next: () => number
  /** An integer in [from, to]. */
  readonly between: (from: number, to: number) => number
  /** A generator of its own, so that what one part draws does not shift what another gets. */
  readonly fork: (index: number) => Random
}

/** Mulberry32: 32 bits of state are enough to choose faults. */
export const random = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    between: (from, to) => from + Math.floor(next() * (to - from + 1)),
    fork: (index) => random(Math.imul(seed ^ 0x9e3779b9, index + 1))
  }
}
