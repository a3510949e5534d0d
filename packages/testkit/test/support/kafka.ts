import { Probe } from "@exactly-once/testkit"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** A record of text. */
export const record = (key: string, value: string): Probe.NewRecord => ({
  key: utf8.encode(key),
  value: utf8.encode(value)
})

export const valueOf = (read: Probe.RawRecord): string => text.decode(read.value ?? new Uint8Array(0))

/** A probe, and names nobody else uses. */
export const fresh = (bootstrap: ReadonlyArray<string>, topics: Readonly<Record<string, number>>) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const probe = yield* Probe.make(bootstrap)
    const name = (part: string) => `${part}-${id}`
    for (const [topic, partitions] of Object.entries(topics)) yield* probe.createTopic(name(topic), partitions)
    return { probe, name }
  })
