/**
 * Where the embedded broker means to answer otherwise than Kafka. Each entry is explained in docs/kafka/differences.md under the same name; a
 * difference that is not listed fails the suite, and so does an entry that is none any more.
 */
import type { Answer } from "./suite.ts"

export interface Difference {
  readonly section: string
  readonly name: string
  /** What the embedded broker answers. */
  readonly embedded: Answer
}

export const differences: ReadonlyArray<Difference> = [
  {
    section: "consumer groups (KIP-848)",
    name: "a classic member joins a consumer group",
    embedded: 23
  },
  {
    section: "consumer groups (KIP-848)",
    name: "a classic member without a readable subscription may not join a consumer group",
    embedded: 23
  }
]
