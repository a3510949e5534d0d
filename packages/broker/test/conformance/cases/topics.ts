import { Apis, RecordBatch } from "@exactly-once/protocol"
import { NOBODY } from "../Batch.ts"
import { section } from "../suite.ts"
import type { World } from "../World.ts"

const create = async (
  world: World,
  topics: ReadonlyArray<Partial<Parameters<typeof body>[0]>>,
  options: { readonly version?: number; readonly validateOnly?: boolean } = {}
) => {
  const answer = await world.raw.client.call(Apis.CreateTopics, options.version ?? 7, {
    topics: topics.map((it) => body(it)),
    timeoutMs: 10_000,
    validateOnly: options.validateOnly ?? false
  })
  return answer.topics
    .toSorted((a, b) => a.name < b.name ? -1 : 1)
    .map((it) => [it.errorCode, it.numPartitions, it.replicationFactor])
}

const body = (it: {
  readonly name?: string
  readonly numPartitions?: number
  readonly replicationFactor?: number
  readonly assignments?: ReadonlyArray<{ readonly partitionIndex: number; readonly brokerIds: ReadonlyArray<number> }>
  readonly configs?: ReadonlyArray<{ readonly name: string; readonly value: string | null }>
}) => ({ name: "", numPartitions: 1, replicationFactor: 1, assignments: [], configs: [], ...it })

export const topics = section("topics and metadata", (check) => {
  check("CreateTopics, and again", async (world) => {
    const name = world.name("t")
    return [await create(world, [{ name, numPartitions: 3 }]), await create(world, [{ name }])]
  })

  check("CreateTopics with nonsense", async (world) => {
    const name = world.name("t")
    const ask = (it: Parameters<typeof body>[0]) => create(world, [{ name, ...it }])
    return {
      empty: await ask({ name: "" }),
      dot: await ask({ name: "." }),
      slash: await ask({ name: "a/b" }),
      long: await ask({ name: "x".repeat(250) }),
      zero: await ask({ numPartitions: 0 }),
      negative: await ask({ numPartitions: -2 }),
      noReplicas: await ask({ replicationFactor: 0 }),
      negativeReplicas: await ask({ replicationFactor: -2 }),
      manyReplicas: await ask({ replicationFactor: 5 }),
      setting: await ask({ configs: [{ name: "nonsense", value: "1" }] }),
      value: await ask({ configs: [{ name: "retention.ms", value: "soon" }] }),
      nothing: await ask({ configs: [{ name: "retention.ms", value: null }] }),
      both: await ask({ assignments: [{ partitionIndex: 0, brokerIds: [1] }] }),
      unknownNode: await ask({
        numPartitions: -1,
        replicationFactor: -1,
        assignments: [{ partitionIndex: 0, brokerIds: [99] }]
      }),
      gap: await ask({
        numPartitions: -1,
        replicationFactor: -1,
        assignments: [{ partitionIndex: 1, brokerIds: [1] }]
      }),
      twice: await create(world, [{ name }, { name }]),
      afterwards: await world.raw.topicErrors(name)
    }
  })

  check("CreateTopics that only validates", async (world) => {
    const name = world.name("t")
    return [await create(world, [{ name }], { validateOnly: true }), await world.raw.topicErrors(name)]
  })

  check("a name that collides with another one", async (world) => {
    const dotted = await create(world, [{ name: world.name("a.b") }])
    return [
      dotted,
      await create(world, [{ name: `${world.name("a_b")}` }]),
      await create(world, [{ name: world.name("a.b").replaceAll(".", "_") }])
    ]
  })

  check("DeleteTopics by name and id, and what is not there", async (world) => {
    const one = await world.topic(1, {}, "one")
    const two = await world.topic(1, {}, "two")
    const topicId = await world.raw.topicId(two)
    const byId = async (id: string) => {
      const answer = await world.raw.client.call(Apis.DeleteTopics, 6, {
        topics: [{ name: null, topicId: id }],
        timeoutMs: 10_000
      })
      return answer.responses[0]!.errorCode
    }
    const deleted = [await world.raw.deleteTopic(one), await byId(topicId)]
    await world.until(async () => (await world.raw.topicErrors(two))[0] === 3)
    return [...deleted, await world.raw.deleteTopic(one), await byId(topicId), await world.raw.deleteTopic("")]
  })

  check("a topic that is created anew has another id and an empty log", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic })
    const id = await world.raw.topicId(topic)
    await world.raw.deleteTopic(topic)
    await world.until(async () => (await world.raw.topicErrors(topic))[0] === 3)
    await world.topic()
    return { other: id !== await world.raw.topicId(topic), ends: await world.raw.ends(topic) }
  })

  check("producers of a topic that was created anew begin anew", async (world) => {
    const topic = await world.topic()
    const producer = await world.init(null)
    await world.raw.send(producer, { topic })
    await world.raw.deleteTopic(topic)
    await world.until(async () => (await world.raw.topicErrors(topic))[0] === 3)
    await world.topic()
    return [await world.raw.send(producer, { topic, sequence: 1 }), await world.raw.ends(topic)]
  })

  for (const version of [0, 1, 4, 9, 12, 13]) {
    check(`Metadata ${version} of topics that are there, are not, and cannot be`, async (world) => {
      const topic = await world.topic(2)
      const names = [topic, world.name("none"), "a/b"]
      const answer = await world.raw.client.call(Apis.Metadata, version, {
        topics: names.map((name) => ({ name })),
        ...(version >= 4 ? { allowAutoTopicCreation: false } : {})
      })
      return {
        brokers: answer.brokers.length,
        topics: answer.topics
          .toSorted((a, b) => (a.name ?? "") < (b.name ?? "") ? -1 : 1)
          .map((
            it
          ) => [
            it.name,
            it.errorCode,
            it.isInternal,
            it.partitions.length,
            it.partitions.every((p) => p.leaderId === 1)
          ])
      }
    })
  }

  check("Metadata 12 by id", async (world) => {
    const topic = await world.topic()
    const ask = async (topicId: string, name: string | null = null) => {
      const { topics } = await world.raw.client.call(Apis.Metadata, 12, {
        topics: [{ topicId, name }],
        allowAutoTopicCreation: false
      })
      return topics.map((it) => [it.errorCode, it.name, it.partitions.length])
    }
    return [await ask(await world.raw.topicId(topic)), await ask("Zm9vYmFyYmF6cXV1eHF1dQ")]
  })

  check(
    "Metadata of no topics",
    async (world) => (await world.raw.client.call(Apis.Metadata, 12, { topics: [] })).topics.length
  )

  check("CreatePartitions: more, fewer, the same, and of nothing", async (world) => {
    const topic = await world.topic(2)
    const ask = async (
      name: string,
      count: number,
      assignments: ReadonlyArray<{ readonly brokerIds: ReadonlyArray<number> }> | null = null
    ) => {
      const answer = await world.raw.client.call(Apis.CreatePartitions, 3, {
        topics: [{ name, count, assignments }],
        timeoutMs: 10_000,
        validateOnly: false
      })
      return answer.results[0]!.errorCode
    }
    const codes = [
      await ask(topic, 3),
      await ask(topic, 2),
      await ask(topic, 3),
      await ask(world.name("none"), 3),
      await ask(topic, 0),
      await ask(topic, 4, [{ brokerIds: [99] }])
    ]
    await world.until(async () => (await world.raw.topicErrors(topic)).length === 4)
    return codes
  })

  check("DescribeConfigs and IncrementalAlterConfigs", async (world) => {
    const topic = await world.topic(1, { "retention.ms": "1000" })
    const describe = async (resourceName: string, resourceType = 2) => {
      const answer = await world.raw.client.call(Apis.DescribeConfigs, 4, {
        resources: [{ resourceType, resourceName, configurationKeys: ["retention.ms", "cleanup.policy"] }]
      })
      const { configs, errorCode } = answer.results[0]!
      return [errorCode, ...configs.map((it) => `${it.name}=${it.value} from ${it.configSource}`).toSorted()]
    }
    const alter = async (resourceName: string, name: string, value: string | null, configOperation = 0) => {
      const answer = await world.raw.client.call(Apis.IncrementalAlterConfigs, 1, {
        resources: [{ resourceType: 2, resourceName, configs: [{ name, configOperation, value }] }],
        validateOnly: false
      })
      return answer.responses[0]!.errorCode
    }
    const before = await describe(topic)
    const altered = [
      await alter(topic, "retention.ms", "2000"),
      await alter(topic, "nonsense", "2000"),
      await alter(topic, "retention.ms", "soon"),
      await alter(world.name("none"), "retention.ms", "2000")
    ]
    await world.until(async () => (await describe(topic)).includes("retention.ms=2000 from 1"))
    const deleted = await alter(topic, "retention.ms", null, 1)
    await world.until(async () => !(await describe(topic)).includes("retention.ms=2000 from 1"))
    return { before, altered, deleted, after: await describe(topic), none: await describe(world.name("none")) }
  })

  check("DescribeTopicPartitions", async (world) => {
    const topic = await world.topic(2)
    const { nextCursor, topics } = await world.raw.client.call(Apis.DescribeTopicPartitions, 0, {
      topics: [{ name: topic }, { name: world.name("none") }],
      responsePartitionLimit: 100,
      cursor: null
    })
    return [nextCursor === null, ...topics.map((it) => [it.name, it.errorCode, it.partitions.length])]
  })

  check("the batches that a topic keeps are the client's, placed", async (world) => {
    const topic = await world.topic()
    await world.raw.send(NOBODY, { topic, values: ["a"] })
    await world.raw.send(NOBODY, { topic, values: ["b", "c"] })
    const { records } = await world.raw.fetch({ topic })
    return RecordBatch.split(records!).batches.map((
      it
    ) => [Number(it.baseOffset), it.partitionLeaderEpoch, it.count, it.isValid()])
  })
})
