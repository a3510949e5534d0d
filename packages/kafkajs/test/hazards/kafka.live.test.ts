import { Effect } from "effect"
import { startCluster } from "../../../../scripts/lib/kafkaCluster.ts"
import { describeLive, liveBootstrap } from "../../../../scripts/vitest/live.ts"
import { hazards } from "./all.ts"
import { leaders } from "./leaders.ts"
import { plain, promised, until } from "./support.ts"

describeLive("kafkajs hazards, on real Kafka", () => {
  hazards({ bootstrap: liveBootstrap })
})

describeLive("kafkajs hazards, on three real brokers", () => {
  leaders(Effect.gen(function*() {
    const cluster = yield* Effect.acquireRelease(
      promised(() => startCluster({ brokers: 3 })),
      (running) => promised(() => running.stop())
    )
    const bootstrap = cluster.bootstrap.split(",")
    const admin = plain(bootstrap, "admin").admin()
    yield* Effect.acquireRelease(promised(() => admin.connect()), () => promised(() => admin.disconnect()))
    const led = (name: string, byNode: ReadonlyArray<number>) =>
      until(
        `${name} is led by ${byNode.join(" and ")}`,
        Effect.map(
          promised(() => admin.fetchTopicMetadata({ topics: [name] })),
          ({ topics }) =>
            byNode.every((node, partition) =>
              topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)?.leader === node
            )
        )
      )
    const replicaAssignment = [{ partition: 0, replicas: [1] }, { partition: 1, replicas: [2] }]
    return {
      bootstrap,
      createTopic: (topic) =>
        Effect.andThen(
          promised(() => admin.createTopics({ topics: [{ topic, replicaAssignment }] })),
          led(topic, [1, 2])
        ),
      moveLeader: (topic) =>
        Effect.andThen(
          promised(() =>
            admin.alterPartitionReassignments({
              topics: [{ topic, partitionAssignment: [{ partition: 1, replicas: [1] }] }]
            })
          ),
          led(topic, [1, 1])
        )
    }
  }))
})
