import { assert, describe, it } from "vitest"
import { formatProperties, serverProperties } from "../lib/kafkaProperties.ts"

const node = { id: 1, port: 9001, controllerPort: 9002, extra: { SECURE: 9003 } }
const base = {
  node,
  nodes: [node],
  dataDirectory: "/data",
  profile: "test",
  listeners: [],
  authorizer: false,
  properties: {}
} as const

describe("server properties", () => {
  it("one node replicates nothing, three ask for two in sync", () => {
    const one = serverProperties(base)
    const three = serverProperties({ ...base, nodes: [node, { ...node, id: 2 }, { ...node, id: 3 }] })
    assert.strictEqual(one["transaction.state.log.replication.factor"], "1")
    assert.strictEqual(three["transaction.state.log.replication.factor"], "3")
    assert.strictEqual(three["transaction.state.log.min.isr"], "2")
    assert.strictEqual(three["controller.quorum.voters"], "1@127.0.0.1:9002,2@127.0.0.1:9002,3@127.0.0.1:9002")
  })

  it("a further listener has its own port and prefixed properties, and the plain one stays", () => {
    const properties = serverProperties({
      ...base,
      listeners: [{ name: "SECURE", protocol: "SASL_SSL", properties: { "sasl.enabled.mechanisms": "PLAIN" } }]
    })
    assert.strictEqual(properties["advertised.listeners"], "PLAINTEXT://127.0.0.1:9001,SECURE://127.0.0.1:9003")
    assert.include(properties["listener.security.protocol.map"], "SECURE:SASL_SSL")
    assert.strictEqual(properties["listener.name.secure.sasl.enabled.mechanisms"], "PLAIN")
  })

  it("measurements keep Kafka's defaults for groups and internal topics", () => {
    const properties = serverProperties({ ...base, profile: "bench" })
    assert.notProperty(properties, "offsets.topic.num.partitions")
    assert.notProperty(properties, "group.min.session.timeout.ms")
  })

  it("a caller's property has the last word", () => {
    const properties = serverProperties({ ...base, properties: { "num.partitions": "9" } })
    assert.strictEqual(properties["num.partitions"], "9")
  })

  it("a backslash is written so that Java reads one", () => {
    assert.strictEqual(formatProperties({ a: "x\\y" }), "a=x\\\\y\n")
  })
})
