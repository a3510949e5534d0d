import { Apis } from "@exactly-once/protocol"
import { Kafka, type KafkaConfig, logLevel } from "kafkajs"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { Probe } from "../support/Probe.ts"
import { RawClient } from "../support/RawClient.ts"
import { withBroker, withListeners } from "../support/withBroker.ts"

const USERS = { alice: "s3cret" }

/** Sends a record and reads it back. */
const roundTrip = async (config: Omit<KafkaConfig, "clientId">): Promise<string | undefined> => {
  const kafka = new Kafka({ ...config, logLevel: logLevel.NOTHING, retry: { retries: 0 } })
  const producer = kafka.producer()
  const consumer = kafka.consumer({ groupId: "g", maxWaitTimeInMs: 50 })
  try {
    await producer.connect()
    await producer.send({ topic: "t", messages: [{ value: "hello" }] })
    await consumer.connect()
    await consumer.subscribe({ topics: ["t"], fromBeginning: true })
    return await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      void consumer.run({ eachMessage: async ({ message }) => resolve(message.value?.toString()) })
    })
  } finally {
    await producer.disconnect()
    await consumer.disconnect()
  }
}

describe("SASL", () => {
  for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"] as const) {
    const sasl = (password: string) => {
      const login = { username: "alice", password }
      return mechanism === "plain"
        ? { mechanism: "plain" as const, ...login }
        : mechanism === "scram-sha-256"
        ? { mechanism: "scram-sha-256" as const, ...login }
        : { mechanism: "scram-sha-512" as const, ...login }
    }

    it(
      `${mechanism} lets kafkajs in with the right password`,
      withBroker({ topics: { t: 1 }, sasl: { users: USERS } }, async (_probe, broker) => {
        const brokers = [...broker.addresses]
        assert.strictEqual(await roundTrip({ brokers, sasl: sasl("s3cret") }), "hello")
      })
    )

    it(
      `${mechanism} keeps out who has a wrong one`,
      withBroker({ topics: { t: 1 }, sasl: { users: USERS } }, async (_probe, broker) => {
        const brokers = [...broker.addresses]
        const refused = await roundTrip({ brokers, sasl: sasl("guess") }).catch((error: Error) => error.name)
        assert.strictEqual(refused, "KafkaJSSASLAuthenticationError")
      })
    )
  }

  it(
    "serves nothing before the login",
    withBroker({ topics: { t: 1 }, sasl: { users: USERS } }, async (_probe, broker) => {
      const client = await Probe.open(broker.addresses[0]!)
      assert.strictEqual(await client.latest(false).catch((error: Error) => error.message), "closed")
    })
  )

  it(
    "names its mechanisms to who asks for another one",
    withBroker({ sasl: { users: USERS, mechanisms: ["PLAIN"] } }, async (probe) => {
      const answer = await probe.client.call(Apis.SaslHandshake, 1, { mechanism: "SCRAM-SHA-256" })
      assert.strictEqual(answer.errorCode, 33)
      assert.deepStrictEqual(answer.mechanisms, ["PLAIN"])
    })
  )

  it(
    "answers 58 and closes after a wrong password, and 34 without a handshake",
    withBroker({ sasl: { users: USERS } }, async (probe) => {
      const authBytes = Buffer.from("\0alice\0wrong")
      const early = await probe.client.call(Apis.SaslAuthenticate, 2, { authBytes })
      assert.strictEqual(early.errorCode, 34)
      await probe.client.call(Apis.SaslHandshake, 1, { mechanism: "PLAIN" })
      const late = await probe.client.call(Apis.SaslAuthenticate, 2, { authBytes })
      assert.strictEqual(late.errorCode, 58)
      await probe.client.closed
    })
  )

  it(
    "takes bare tokens after a handshake of version 0",
    withBroker({ topics: { t: 1 }, sasl: { users: USERS } }, async (_probe, broker) => {
      const client = await RawClient.open(broker.addresses[0]!)
      await client.call(Apis.SaslHandshake, 0, { mechanism: "PLAIN" })
      const token = Buffer.from("\0alice\0s3cret")
      const size = Buffer.alloc(4)
      size.writeInt32BE(token.length)
      client.socket.removeAllListeners("data")
      const answer = new Promise<Uint8Array>((resolve) => client.socket.once("data", resolve))
      client.bytes(Buffer.concat([size, token]))
      assert.deepStrictEqual([...await answer], [0, 0, 0, 0])
      await client.close()
    })
  )

  it(
    "is not offered by a broker that does not ask for it",
    withBroker({}, async (probe) => {
      assert.strictEqual((await probe.client.call(Apis.SaslHandshake, 1, { mechanism: "PLAIN" })).errorCode, 34)
    })
  )
})

describe("TLS", () => {
  // Self-signed, for localhost, made for this test and good for nothing else.
  const read = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8")
  const tls = { key: read("key.pem"), cert: read("cert.pem") }

  it(
    "carries kafkajs, with a login inside",
    withListeners({ topics: { t: 1 }, tls, sasl: { users: USERS } }, async (broker) => {
      const brokers = [...broker.addresses]
      const sasl = { mechanism: "plain" as const, username: "alice", password: "s3cret" }
      const config = { brokers, ssl: { ca: [tls.cert] }, sasl }
      assert.strictEqual(await roundTrip(config), "hello")
      // Who does not speak TLS is closed, and the others are served.
      const plain = await RawClient.open(broker.addresses[0]!)
      plain.bytes(Buffer.from("not a handshake, not at all"))
      await plain.closed
      assert.strictEqual(await roundTrip(config), "hello")
    })
  )
})
