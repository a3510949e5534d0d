import { Apis, Frame, Uuid } from "@exactly-once/protocol"
import { assert, describe, it } from "vitest"
import { registry } from "../../src/api/registry.ts"
import { batchOf, NO_PID } from "../support/Probe.ts"
import { RawClient } from "../support/RawClient.ts"
import { withBroker } from "../support/withBroker.ts"

/** What a request of each API can look like: fields that a version does not have are left out by the test. */
const bodies = (topicId: string): Readonly<Record<string, Record<string, unknown>>> => {
  const commitPartition = { partitionIndex: 0, committedOffset: 1n, committedMetadata: "" }
  const producer = { transactionalId: "id", producerId: 0n, producerEpoch: 0 }
  return {
    Produce: {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1,
      topicData: [{ name: "t", topicId, partitionData: [{ index: 0, records: batchOf(NO_PID, {}) }] }]
    },
    Fetch: {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      isolationLevel: 1,
      topics: [{ topic: "t", topicId, partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1000 }] }]
    },
    ListOffsets: {
      replicaId: -1,
      isolationLevel: 1,
      topics: [{ name: "t", partitions: [{ partitionIndex: 0, timestamp: -1n }] }]
    },
    Metadata: { topics: [{ name: "t" }], allowAutoTopicCreation: true },
    OffsetCommit: {
      groupId: "group",
      generationIdOrMemberEpoch: -1,
      memberId: "",
      topics: [{ name: "t", topicId, partitions: [commitPartition] }]
    },
    OffsetFetch: {
      groupId: "group",
      topics: [{ name: "t", partitionIndexes: [0] }],
      groups: [{ groupId: "group", topics: [{ name: "t", topicId, partitionIndexes: [0] }] }],
      requireStable: true
    },
    FindCoordinator: { key: "group", keyType: 0, coordinatorKeys: ["group"] },
    JoinGroup: {
      groupId: "group",
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      memberId: "",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: new Uint8Array(0) }]
    },
    Heartbeat: { groupId: "group", generationId: 1, memberId: "nobody" },
    LeaveGroup: { groupId: "group", memberId: "nobody", members: [{ memberId: "nobody", groupInstanceId: null }] },
    SyncGroup: { groupId: "group", generationId: 1, memberId: "nobody", assignments: [] },
    DescribeGroups: { groups: ["group"] },
    ListGroups: { statesFilter: [], typesFilter: [] },
    SaslHandshake: { mechanism: "PLAIN" },
    ApiVersions: { clientSoftwareName: "test", clientSoftwareVersion: "1" },
    CreateTopics: {
      topics: [{ name: "t", numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 1,
      validateOnly: false
    },
    DeleteTopics: { topics: [{ name: "x", topicId: Uuid.ZERO }], topicNames: ["x"], timeoutMs: 1 },
    DeleteRecords: { topics: [{ name: "t", partitions: [{ partitionIndex: 0, offset: 0n }] }], timeoutMs: 1 },
    InitProducerId: { transactionalId: "id", transactionTimeoutMs: 1000 },
    OffsetForLeaderEpoch: {
      replicaId: -1,
      topics: [{ topic: "t", partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }]
    },
    AddPartitionsToTxn: {
      transactions: [{ ...producer, verifyOnly: false, topics: [{ name: "t", partitions: [0] }] }],
      v3AndBelowTransactionalId: "id",
      v3AndBelowProducerId: 0n,
      v3AndBelowProducerEpoch: 0,
      v3AndBelowTopics: [{ name: "t", partitions: [0] }]
    },
    AddOffsetsToTxn: { ...producer, groupId: "group" },
    EndTxn: { ...producer, committed: true },
    WriteTxnMarkers: {
      markers: [{
        producerId: 0n,
        producerEpoch: 0,
        transactionResult: true,
        topics: [{ name: "t", partitionIndexes: [0] }],
        coordinatorEpoch: 0
      }]
    },
    TxnOffsetCommit: { ...producer, groupId: "group", topics: [{ name: "t", partitions: [commitPartition] }] },
    DescribeConfigs: { resources: [{ resourceType: 2, resourceName: "t", configurationKeys: null }] },
    SaslAuthenticate: { authBytes: new Uint8Array(0) },
    CreatePartitions: { topics: [{ name: "t", count: 1, assignments: null }], timeoutMs: 1, validateOnly: true },
    DeleteGroups: { groupsNames: ["x"] },
    IncrementalAlterConfigs: {
      resources: [{
        resourceType: 2,
        resourceName: "t",
        configs: [{ name: "retention.bytes", configOperation: 0, value: "-1" }]
      }],
      validateOnly: false
    },
    OffsetDelete: { groupId: "group", topics: [{ name: "t", partitions: [{ partitionIndex: 0 }] }] },
    DescribeCluster: {},
    DescribeProducers: { topics: [{ name: "t", partitionIndexes: [0] }] },
    DescribeTransactions: { transactionalIds: ["id"] },
    ListTransactions: { stateFilters: [], producerIdFilters: [] },
    ConsumerGroupHeartbeat: {
      groupId: "new",
      memberId: "",
      memberEpoch: 0,
      rebalanceTimeoutMs: 1000,
      subscribedTopicNames: ["t"],
      topicPartitions: []
    },
    ConsumerGroupDescribe: { groupIds: ["group"] },
    DescribeTopicPartitions: { topics: [{ name: "t" }], cursor: null }
  }
}

const renamed = new Map([["t", "nowhere"], ["group", "other"], ["id", "unknown"]])

/** The same request about what does not exist: another way through the handler. */
const strangers = (value: unknown): unknown => {
  if (typeof value === "string") return renamed.get(value) ?? value
  if (Array.isArray(value)) return value.map(strangers)
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, it]: [string, unknown]) => [key, strangers(it)]))
}

/** Encodes what the version knows of a body: a field that it does not have is found by the encoder's complaint and left out. */
const encode = (name: string, version: number, body: unknown, correlationId: number): Uint8Array => {
  const api = Apis.byKey(registry.find((it) => it.name === name)!.key)!
  let current = body
  for (;;) {
    try {
      // The registry's codecs are typed `never` for lack of a common input; the encoder itself checks what it is given.
      return Frame.encodeRequest(api, current as never, { version, correlationId, clientId: "every-version" })
    } catch (error) {
      const [, struct, field] = /(\w+)\.(\w+): does not exist in version/.exec(String(error)) ?? []
      if (struct === undefined || field === undefined) throw error
      current = without(current, field, struct === `${name}Request` ? 0 : 1)
    }
  }
}

/** Leaves a field out: at the top (depth 0), or anywhere below it. */
const without = (value: unknown, field: string, depth: number): unknown => {
  if (Array.isArray(value)) return value.map((it) => without(it, field, depth - 1))
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => depth > 0 || key !== field)
      .map(([key, it]: [string, unknown]) => [key, depth === 0 ? it : without(it, field, depth)])
  )
}

describe("every API in every version", () => {
  for (const { advertisedFrom, maxVersion, minVersion, name } of registry) {
    it(
      `${name} is answered with what its version can say`,
      withBroker({ topics: { t: 1 } }, async (probe, broker, run) => {
        await probe.coordinators("id")
        await probe.init("id")
        const body = bodies(await probe.topicId("t"))[name]!
        const api = Apis.byKey(registry.find((it) => it.name === name)!.key)!
        assert.isAtMost(advertisedFrom, minVersion)
        let correlationId = 1000
        const exchange = async (version: number, request: unknown) => {
          const client = await RawClient.open(broker.addresses[0]!)
          const id = ++correlationId
          const payload = await client.exchange({ correlationId: id, frame: encode(name, version, request, id) })
          const { header } = Frame.decodeResponse(api, version, payload)
          assert.strictEqual(header.correlationId, id)
          await client.close()
        }
        for (let version = minVersion; version <= maxVersion; version++) {
          // A second member of a classic group would wait for the first to join again.
          if (name === "JoinGroup") await exchange(version, { ...body, groupId: `group-${version}` })
          else await exchange(version, body)
          await exchange(version, name === "JoinGroup" ? { ...body, groupId: "", protocols: [] } : strangers(body))
          const fault = await run(broker.inject({ api: name, action: { type: "error", code: 7 } }))
          await exchange(version, body)
          assert.strictEqual(await run(fault.hits), 1)
          await run(fault.remove)
        }
      })
    )
  }

  it(
    "is told by ApiVersions, Produce from 0 on as Kafka does",
    withBroker({}, async (probe) => {
      const { apiKeys, errorCode, finalizedFeatures } = await probe.client.call(Apis.ApiVersions, 4, {
        clientSoftwareName: "test",
        clientSoftwareVersion: "1"
      })
      assert.strictEqual(errorCode, 0)
      assert.strictEqual(apiKeys.length, registry.length)
      assert.deepInclude(apiKeys.find(({ apiKey }) => apiKey === 0), { minVersion: 0, maxVersion: 13 })
      assert.isUndefined(apiKeys.find(({ apiKey }) => apiKey === 71 || apiKey === 72))
      assert.deepStrictEqual(finalizedFeatures.map(({ maxVersionLevel, name }) => [name, maxVersionLevel]), [
        ["group.version", 1],
        ["transaction.version", 2]
      ])
    })
  )

  for (const level of [0, 1, 2] as const) {
    it(
      `is told with transaction.version ${level}`,
      withBroker({ transactionVersion: level }, async (probe) => {
        const answer = await probe.client.call(Apis.ApiVersions, 3, {
          clientSoftwareName: "test",
          clientSoftwareVersion: "1"
        })
        const feature = answer.finalizedFeatures.find(({ name }) => name === "transaction.version")
        assert.strictEqual(feature?.maxVersionLevel, level === 0 ? undefined : level)
      })
    )
  }
})
