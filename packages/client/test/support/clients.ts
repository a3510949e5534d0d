/** The client on the embedded broker: over TCP, and in one process without sockets. */
import { Broker } from "@exactly-once/broker"
import { KafkaClient, Transport } from "@exactly-once/client"
import * as Simulated from "@exactly-once/client/simulated"
import type { Driver } from "@exactly-once/core"
import { Effect, Layer } from "effect"

/** Reaches the broker by function calls; the port of an address counts the nodes from 1. */
const inProcess: Layer.Layer<Transport.Transport, never, Broker> = Layer.effect(
  Transport.Transport,
  Effect.map(Broker, (broker) => ({
    open: (_address, handlers) =>
      Effect.sync(() => {
        const channel = broker.connect({ onData: handlers.onData, onClose: () => handlers.onClose() })
        return { write: channel.write, close: channel.close }
      })
  }))
)

/** The driver over sockets. */
export const overTcp = (options: Partial<KafkaClient.Options> = {}): Layer.Layer<Driver.Driver, unknown, Broker> =>
  Layer.unwrap(
    Effect.map(
      Broker,
      ({ addresses }) => KafkaClient.layer({ bootstrap: addresses, requestTimeout: 5_000, ...options })
    )
  )

/** The driver without sockets. */
export const overCalls = (options: Partial<Simulated.Options> = {}): Layer.Layer<Driver.Driver, unknown, Broker> =>
  Simulated.layer({ bootstrap: ["broker:9092"], requestTimeout: 5_000, ...options }).pipe(Layer.provide(inProcess))
