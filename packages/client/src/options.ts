/** The options that do not depend on how brokers are reached, and the bootstrap addresses as people write them. */
import { Driver } from "@exactly-once/core"
import type { Codecs } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Address } from "./Transport.ts"

export interface ClientOptions {
  /** Brokers to start from, `host:port` each (`[::1]:9092` for IPv6). */
  readonly bootstrap: ReadonlyArray<string>
  /** The name in the brokers' logs and quotas. `exactly-once` when left out. */
  readonly clientId?: string | undefined
  /** Milliseconds to open a connection (3 000), and as many again for a broker that accepts and does not answer. */
  readonly connectionTimeout?: number | undefined
  /** Milliseconds for an answer (30 000); then the connection is given up. */
  readonly requestTimeout?: number | undefined
  /** Connections per broker that all producers share (4). Each holds back one producer's request behind another's. */
  readonly producerConnections?: number | undefined
  /** Batches of a consumer that may be out at once (16): how many partitions its user works on side by side. */
  readonly partitionsConsumedConcurrently?: number | undefined
  /** Milliseconds for which a consumer looks for its group again before `poll` fails (60 000). */
  readonly reconnectTimeout?: number | undefined
  /** The largest batch sent, in bytes before compression (900 000): below the topics' max.message.bytes. */
  readonly maxBatchBytes?: number | undefined
  /** The largest record sent, in bytes (1 000 000). */
  readonly maxRecordBytes?: number | undefined
  /** The largest Produce request, in bytes (8 388 608), one batch at least. */
  readonly maxRequestBytes?: number | undefined
  /** Bytes that a producer holds before `send` waits for the brokers (33 554 432). */
  readonly maxQueuedBytes?: number | undefined
  /** Bytes of one fetch response (16 777 216). */
  readonly maxFetchBytes?: number | undefined
  /** Bytes that a consumer holds ahead of its user, over all partitions (67 108 864). */
  readonly maxBufferedBytes?: number | undefined
  /** Compression and checksums in place of the bundled ones. */
  readonly codecs?: Codecs.Codecs | undefined
}

export const defaultConnectionTimeout = 3_000

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
    if (host === undefined || port < 1 || port > 65_535) return refuse(`bootstrap address "${text}" is not host:port`)
    addresses.push({ host, port })
  }
  return Effect.succeed(addresses)
}
