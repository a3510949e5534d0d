/**
 * Which Kafka client the examples run on: `DRIVER` and `KAFKA_BOOTSTRAP` in the environment.
 */
import { KafkaClient } from "@exactly-once/client"
import { KafkaError } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Config, Effect, Layer } from "effect"

const servers = (list: string): ReadonlyArray<string> => list.split(",").map((server) => server.trim())

/** The driver that `DRIVER` names, for the cluster behind `bootstrap` (`host:port`, more by commas). */
export const driverFor = (bootstrap: string) =>
  Layer.unwrap(Effect.gen(function*() {
    const name = yield* Config.String("DRIVER").pipe(Config.withDefault("kafkajs"))
    if (name === "client") {
      return KafkaClient.layer({ bootstrap: servers(bootstrap), clientId: "exactly-once-example" })
    }
    if (name !== "kafkajs") {
      return yield* new KafkaError.Misconfigured({
        setting: "DRIVER",
        description: `"${name}" is not known; take kafkajs or client`
      })
    }
    return KafkaJs.layer({ bootstrap: servers(bootstrap), clientId: "exactly-once-example" })
  }))

export const driver = Layer.unwrap(
  Effect.map(Config.NonEmptyString("KAFKA_BOOTSTRAP").pipe(Config.withDefault("localhost:9092")), driverFor)
)
