/** What goes through the pipelines: 16 bytes of key, 100 of value, which say their number and when they were made. */

const VALUE_SIZE = 100
const SEQUENCE_AT = 1
const SEQUENCE_DIGITS = 12
const TIME_AT = SEQUENCE_AT + SEQUENCE_DIGITS + 1
const TIME_DIGITS = 16
const ZERO = 48
const LOWER_X = 120
export const UPPER_X = 88

const writeDigits = (bytes: Uint8Array, at: number, digits: number, number: number): void => {
  let rest = number
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = ZERO + rest % 10
    rest = Math.floor(rest / 10)
  }
}

const readDigits = (bytes: Uint8Array, at: number, digits: number): number => {
  let number = 0
  for (let i = at; i < at + digits; i++) number = number * 10 + (bytes[i] ?? 0) - ZERO
  return number
}

/** Microseconds since 1970. */
export const now = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000)

/** `k` and 15 digits, spread over about a million keys, the same for the same sequence in every run. */
export const writeKey = (bytes: Uint8Array, sequence: number): void => {
  bytes[0] = 107
  writeDigits(bytes, 1, 15, sequence * 7919 % 1_000_003)
}

export const emptyValue = (): Uint8Array => {
  const bytes = new Uint8Array(VALUE_SIZE).fill(46)
  bytes[0] = LOWER_X
  bytes[TIME_AT - 1] = 124
  bytes[TIME_AT + TIME_DIGITS] = 124
  return bytes
}

export const writeValue = (bytes: Uint8Array, sequence: number, micros: number): void => {
  writeDigits(bytes, SEQUENCE_AT, SEQUENCE_DIGITS, sequence)
  writeDigits(bytes, TIME_AT, TIME_DIGITS, micros)
}

export const sequenceOf = (value: Uint8Array): number => readDigits(value, SEQUENCE_AT, SEQUENCE_DIGITS)
export const timeOf = (value: Uint8Array): number => readDigits(value, TIME_AT, TIME_DIGITS)

/** Keeps account of the records that came out. */
export class Tally {
  count = 0
  duplicates = 0
  malformed = 0
  /** Records that came after one of a higher number in their partition. Input and output are partitioned alike. */
  inversions = 0
  private readonly seen: Uint8Array
  private readonly last = new Map<number, number>()

  constructor(expected: number) {
    this.seen = new Uint8Array(expected)
  }

  /** Answers with the record's number, or -1 when it is none of ours. */
  add(partition: number, value: Uint8Array | null): number {
    this.count++
    const sequence = value === null || value.length !== VALUE_SIZE || value[0] !== UPPER_X ? -1 : sequenceOf(value)
    if (!(sequence >= 0 && sequence < this.seen.length)) {
      this.malformed++
      return -1
    }
    if (this.seen[sequence] === 1) this.duplicates++
    this.seen[sequence] = 1
    if (sequence < (this.last.get(partition) ?? -1)) this.inversions++
    this.last.set(partition, sequence)
    return sequence
  }

  get missing(): number {
    return this.seen.length - this.seen.reduce((sum, flag) => sum + flag, 0)
  }
}
