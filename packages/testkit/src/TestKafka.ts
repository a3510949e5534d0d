/**
 * A Kafka for a user's own tests, in one layer: the embedded broker, with topics, and a driver connected to it.
 */
import { Broker, type BrokerOptions, type BrokerStartError } from "@exactly-once/broker"
import type { Driver } from "@exactly-once/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/**
 * Starts a broker on a free port and connects a driver to it: `TestKafka.layer({ topics: { orders: 2 } }, (bootstrap) =>
 * KafkaJs.layer({ bootstrap }))`. The `Broker` that comes with it injects faults, advances deadlines and shows the logs.
 * Each use of the layer is a new, empty broker.
 */
export const layer = <E>(
  options: BrokerOptions,
  driver: (bootstrap: ReadonlyArray<string>) => Layer.Layer<Driver.Driver, E>
): Layer.Layer<Broker | Driver.Driver, E | BrokerStartError> =>
  Layer.unwrap(Effect.map(Broker, (broker) => driver(broker.addresses))).pipe(
    Layer.provideMerge(Broker.layer(options))
  )

/** For asking again until a pipeline has come to rest; bounded by the test's own time-out. */
export const often = Schedule.spaced("10 millis")
