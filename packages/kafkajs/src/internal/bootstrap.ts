/** Bootstrap addresses as people write them. */
import { Driver } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import type { Address } from "./links.ts"

const pattern = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/

const refuse = (description: string) =>
  Effect.fail(
    new Driver.DriverError({ operation: "connect", failure: "Misconfigured", setting: "bootstrap", description })
  )

export const parseBootstrap = (
  list: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Address>, Driver.DriverError> => {
  if (list.length === 0) return refuse("bootstrap is empty: name at least one broker as host:port")
  const addresses: Array<Address> = []
  for (const text of list) {
    const match = pattern.exec(text.trim())
    const host = match?.[1] ?? match?.[2]
    const port = Number(match?.[3])
    if (host === undefined || port < 1 || port > 65_535) {
      return refuse(`bootstrap address "${text}" is not host:port`)
    }
    addresses.push({ host, port })
  }
  return Effect.succeed(addresses)
}
