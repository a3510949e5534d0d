/** A small seeded generator (mulberry32), so that a failure names the seed that shows it again. */
export class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed >>> 0
  }

  /** A whole number from 0 to `bound - 1`. */
  below(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4_294_967_296 * bound)
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<A>(choices: readonly [A, ...Array<A>]): A {
    return choices[this.below(choices.length)] ?? choices[0]
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.below(256)
    return bytes
  }

  int64(): bigint {
    if (this.chance(20)) return this.pick([-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n])
    return BigInt.asIntN(64, (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32)))
  }

  int(bits: number): number {
    const bound = 2 ** bits
    if (this.chance(20)) return this.pick([-bound / 2, bound / 2 - 1, 0, -1])
    return this.below(bound) - bound / 2
  }

  text(): string {
    const length = this.chance(5) ? 120 + this.below(400) : this.below(12)
    let text = ""
    for (let i = 0; i < length; i++) {
      text += this.chance(85)
        ? String.fromCharCode(32 + this.below(95))
        : this.pick(["é", "世", "😀", "\u{feff}", "\0", "ß"])
    }
    return text
  }
}
