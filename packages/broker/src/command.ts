/** The command line of the broker: the one file that parses arguments. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Broker } from "./Broker.ts"

const flags = {
  port: Flag.Int("port").pipe(
    Flag.withAlias("p"),
    Flag.withDescription("Port of the first node, the others follow it; 0 takes free ones"),
    Flag.withDefault(9092)
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("Address to listen on"),
    Flag.withDefault("127.0.0.1")
  ),
  advertisedHost: Flag.String("advertised-host").pipe(
    Flag.withDescription("Address that clients are told, where it is not the one listened on"),
    Flag.optional
  ),
  nodes: Flag.Int("nodes").pipe(Flag.withDescription("How many brokers to simulate"), Flag.withDefault(1)),
  transactionVersion: Flag.ChoiceWithValue("transaction-version", [["0", 0], ["1", 1], ["2", 2]]).pipe(
    Flag.withDescription("The finalized feature transaction.version"),
    Flag.withDefault(2)
  ),
  topics: Flag.String("topic").pipe(
    Flag.withDescription("A topic to create, as name or name:partitions; may be repeated"),
    Flag.atLeast(0)
  ),
  partitions: Flag.Int("partitions").pipe(
    Flag.withDescription("Partitions of topics that are created without a number"),
    Flag.withDefault(1)
  ),
  retentionBytes: Flag.Int("retention-bytes").pipe(
    Flag.withDescription("What a partition keeps at least; everything when left out"),
    Flag.optional
  )
}

/** `name` or `name:partitions`. */
export const parseTopic = (text: string, partitions: number): readonly [name: string, partitions: number] => {
  const at = text.lastIndexOf(":")
  const given = at < 0 ? Number.NaN : Number(text.slice(at + 1))
  return Number.isInteger(given) && given > 0 ? [text.slice(0, at), given] : [text, partitions]
}

/** Serves until it is interrupted. Says `listening on host:port` once clients can connect. */
export const broker = Command.make(
  "broker",
  flags,
  Effect.fn(function*({ advertisedHost, host, nodes, partitions, port, retentionBytes, topics, transactionVersion }) {
    const service = yield* Broker.make({
      host,
      advertisedHost: Option.getOrUndefined(advertisedHost),
      nodes,
      port,
      transactionVersion,
      defaultPartitions: partitions,
      topics: Object.fromEntries(topics.map((topic) => parseTopic(topic, partitions))),
      retentionBytes: Option.getOrElse(retentionBytes, () => -1)
    })
    yield* Console.log(`listening on ${service.bootstrap}`)
    yield* Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("A Kafka broker in one process, with transactions"))
