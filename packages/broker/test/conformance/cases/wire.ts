import { Apis } from "@exactly-once/protocol"
import { frameOf } from "../frames.ts"
import { section } from "../suite.ts"

const SERVED = [
  Apis.Produce,
  Apis.Fetch,
  Apis.ListOffsets,
  Apis.Metadata,
  Apis.OffsetCommit,
  Apis.OffsetFetch,
  Apis.FindCoordinator,
  Apis.JoinGroup,
  Apis.Heartbeat,
  Apis.LeaveGroup,
  Apis.SyncGroup,
  Apis.DescribeGroups,
  Apis.ListGroups,
  Apis.SaslHandshake,
  Apis.ApiVersions,
  Apis.CreateTopics,
  Apis.DeleteTopics,
  Apis.DeleteRecords,
  Apis.InitProducerId,
  Apis.OffsetForLeaderEpoch,
  Apis.AddPartitionsToTxn,
  Apis.AddOffsetsToTxn,
  Apis.EndTxn,
  Apis.WriteTxnMarkers,
  Apis.TxnOffsetCommit,
  Apis.DescribeConfigs,
  Apis.SaslAuthenticate,
  Apis.CreatePartitions,
  Apis.DeleteGroups,
  Apis.IncrementalAlterConfigs,
  Apis.OffsetDelete,
  Apis.DescribeCluster,
  Apis.DescribeProducers,
  Apis.DescribeTransactions,
  Apis.ListTransactions,
  Apis.ConsumerGroupHeartbeat,
  Apis.ConsumerGroupDescribe,
  Apis.DescribeTopicPartitions
] as const

export const wire = section("versions and bad input", (check) => {
  for (const version of [0, 1, 2, 3, 4]) {
    check(`ApiVersions ${version} names the served versions`, async ({ raw }) => {
      const { apiKeys, errorCode } = await raw.client.call(
        Apis.ApiVersions,
        version,
        version >= 3 ? { clientSoftwareName: "conformance", clientSoftwareVersion: "1" } : {}
      )
      const ranges = SERVED.map(({ key, name }) => {
        const found = apiKeys.find(({ apiKey }) => apiKey === key)
        return found === undefined ? `${name} none` : `${name} ${found.minVersion}-${found.maxVersion}`
      })
      return { errorCode, ranges }
    })
  }

  check("ApiVersions names the finalized features", async ({ raw }) => {
    const answer = await raw.client.call(Apis.ApiVersions, 4, {
      clientSoftwareName: "conformance",
      clientSoftwareVersion: "1"
    })
    const level = (name: string) => answer.finalizedFeatures.find((it) => it.name === name)?.maxVersionLevel ?? null
    return {
      known: answer.finalizedFeaturesEpoch >= 0n,
      transactions: level("transaction.version"),
      groups: level("group.version")
    }
  })

  for (const version of [5, 99]) {
    check(`ApiVersions ${version} is answered with error 35 in the form of version 0`, async ({ raw }) => {
      const payload = await raw.client.exchange(frameOf(Apis.ApiVersions.key, version))
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
      return {
        size: payload.length,
        error: view.getInt16(4),
        keys: view.getInt32(6),
        key: view.getInt16(10),
        from: view.getInt16(12),
        to: view.getInt16(14)
      }
    })
  }

  check("ApiVersions of a client with a name that no client has", async ({ raw }) => {
    const ask = async (clientSoftwareName: string, clientSoftwareVersion: string) =>
      (await raw.client.call(Apis.ApiVersions, 3, { clientSoftwareName, clientSoftwareVersion })).errorCode
    return [await ask("", "1"), await ask("a b", "1"), await ask("good", "")]
  })

  for (
    const [name, key, version] of [
      ["an unknown API", 999, 0],
      ["a negative API", -5, 0],
      ["an API that only brokers among themselves use", 4, 0],
      ["Produce 2, which is advertised and not served", 0, 2],
      ["Produce 14", 0, 14],
      ["Fetch 3", 1, 3],
      ["Fetch 99", 1, 99],
      ["a negative version", 3, -1],
      ["EndTxn 6", 26, 6],
      ["TxnOffsetCommit 6", 28, 6],
      ["AddPartitionsToTxn 6", 24, 6],
      ["JoinGroup 10", 11, 10],
      ["OffsetCommit 1", 8, 1],
      ["OffsetFetch 0", 9, 0]
    ] as const
  ) {
    check(`${name} ends the connection, and no other`, async (world) => ({
      closed: await world.closes((raw) => raw.client.exchange(frameOf(key, version))),
      serving: await world.isServing()
    }))
  }

  check("a request cut off in the middle ends the connection", async (world) => ({
    closed: await world.closes((raw) => raw.client.exchange(frameOf(Apis.Metadata.key, 12, 1_000, 1))),
    serving: await world.isServing()
  }))

  for (const size of [-1, 2_000_000_000]) {
    check(`a frame of ${size} bytes ends the connection`, async (world) => {
      const frame = new Uint8Array(12)
      new DataView(frame.buffer).setInt32(0, size)
      return {
        closed: await world.closes((raw) => raw.client.exchange({ correlationId: 1, frame })),
        serving: await world.isServing()
      }
    })
  }

  for (const version of [0, 1, 2, 3, 4, 5, 6]) {
    check(`FindCoordinator ${version} of a group and a transaction`, async ({ group, id, raw }) => {
      const ask = async (keyType: number, key: string) => {
        const answer = await raw.client.call(
          Apis.FindCoordinator,
          version,
          version >= 4 ? { keyType, coordinatorKeys: [key] } : version >= 1 ? { keyType, key } : { key }
        )
        const found = version >= 4 ? answer.coordinators[0]! : answer
        return [found.errorCode, found.nodeId]
      }
      return version === 0 ? [await ask(0, group)] : [await ask(0, group), await ask(1, id), await ask(7, id)]
    })
  }

  check("FindCoordinator of several keys, and of none", async ({ raw }) => {
    const ask = async (coordinatorKeys: ReadonlyArray<string>) => {
      const { coordinators } = await raw.client.call(Apis.FindCoordinator, 4, { keyType: 0, coordinatorKeys })
      return coordinators.map(({ errorCode, key }) => [key, errorCode])
    }
    return [await ask(["a", "b"]), await ask([]), await ask([""])]
  })

  check("SaslHandshake where no login is asked for", async (world) => {
    const raw = await world.connect()
    const answer = await raw.client.call(Apis.SaslHandshake, 1, { mechanism: "PLAIN" })
    return answer.errorCode
  })

  check("DescribeCluster", async ({ raw }) => {
    const answer = await raw.client.call(Apis.DescribeCluster, 2, { includeClusterAuthorizedOperations: false })
    return [answer.errorCode, answer.brokers.length, answer.brokers[0]!.brokerId]
  })

  check("answers come in the order of the requests", async (world) => {
    const topic = await world.topic()
    const order: Array<string> = []
    await Promise.all([
      world.raw.fetch({ topic, maxWaitMs: 100 }).then(() => order.push("fetch")),
      world.raw.state(world.id).then(() => order.push("describe")),
      world.raw.ends(topic).then(() => order.push("list"))
    ])
    return order
  })
})
