/**
 * Answers that refuse a request with an error code, made without the broker: one per API that clients of transactions
 * and groups send.
 */
import { type Api, Apis, Frame } from "@exactly-once/protocol"
import type { RequestHead } from "./codec.ts"

type Refusal = (payload: Uint8Array, head: RequestHead, code: number) => Uint8Array

const refusal = <Request, ResponseInput>(
  api: Api<Request, never, unknown, ResponseInput>,
  make: (request: Request, code: number) => ResponseInput
): readonly [number, Refusal] => [
  api.key,
  (payload, head, code) =>
    Frame.encodeResponse(api, make(Frame.decodeRequest(api, payload).body, code), {
      version: head.version,
      correlationId: head.correlationId
    }).subarray(4)
]

const table: ReadonlyMap<number, Refusal> = new Map([
  refusal(Apis.Produce, (request, errorCode) => ({
    responses: request.topicData.map(({ name, partitionData, topicId }) => ({
      name,
      topicId,
      partitionResponses: partitionData.map(({ index }) => ({ index, errorCode, baseOffset: -1n }))
    }))
  })),
  refusal(Apis.Fetch, (request, errorCode) => ({
    errorCode: 0,
    sessionId: 0,
    responses: request.topics.map(({ partitions, topic, topicId }) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => ({
        partitionIndex: partition,
        errorCode,
        highWatermark: -1n,
        lastStableOffset: -1n,
        abortedTransactions: null,
        records: new Uint8Array(0)
      }))
    }))
  })),
  refusal(Apis.ListOffsets, (request, errorCode) => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
    }))
  })),
  refusal(Apis.OffsetCommit, (request, errorCode) => ({
    topics: request.topics.map(({ name, partitions, topicId }) => ({
      name,
      topicId,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
    }))
  })),
  refusal(Apis.OffsetFetch, (request, errorCode) => ({
    errorCode,
    topics: [],
    groups: request.groups.map(({ groupId }) => ({ groupId, topics: [], errorCode }))
  })),
  refusal(Apis.FindCoordinator, (request, errorCode) => ({
    errorCode,
    nodeId: -1,
    host: "",
    port: -1,
    coordinators: request.coordinatorKeys.map((key) => ({ key, nodeId: -1, host: "", port: -1, errorCode }))
  })),
  refusal(Apis.JoinGroup, (request, errorCode) => ({
    errorCode,
    protocolName: "",
    leader: "",
    memberId: request.memberId,
    members: []
  })),
  refusal(Apis.SyncGroup, (_, errorCode) => ({ errorCode, assignment: new Uint8Array(0) })),
  refusal(Apis.Heartbeat, (_, errorCode) => ({ errorCode })),
  refusal(Apis.LeaveGroup, (_, errorCode) => ({ errorCode })),
  refusal(Apis.InitProducerId, (_, errorCode) => ({ errorCode, producerId: -1n, producerEpoch: -1 })),
  refusal(Apis.AddPartitionsToTxn, (request, errorCode) => {
    const refused = (topics: typeof request.v3AndBelowTopics) =>
      topics.map(({ name, partitions }) => ({
        name,
        resultsByPartition: partitions.map((partitionIndex) => ({ partitionIndex, partitionErrorCode: errorCode }))
      }))
    return {
      throttleTimeMs: 0,
      errorCode: 0,
      resultsByTopicV3AndBelow: refused(request.v3AndBelowTopics),
      resultsByTransaction: request.transactions.map(({ topics, transactionalId }) => ({
        transactionalId,
        topicResults: refused(topics)
      }))
    }
  }),
  refusal(Apis.AddOffsetsToTxn, (_, errorCode) => ({ throttleTimeMs: 0, errorCode })),
  refusal(Apis.EndTxn, (_, errorCode) => ({ throttleTimeMs: 0, errorCode })),
  refusal(Apis.TxnOffsetCommit, (request, errorCode) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
    }))
  })),
  refusal(Apis.ConsumerGroupHeartbeat, (_, errorCode) => ({
    throttleTimeMs: 0,
    errorCode,
    memberEpoch: 0,
    heartbeatIntervalMs: 0
  }))
])

/** Whether `{ error }` before the broker can be played for this API. */
export const canRefuse = (apiKey: number): boolean => table.has(apiKey)

/** The refusal of a request, as a response payload. Throws for an API that `canRefuse` denies. */
export const refuse: Refusal = (payload, head, code) => {
  const make = table.get(head.apiKey)
  if (make === undefined) throw new TypeError(`no refusal is known for API key ${head.apiKey}`)
  return make(payload, head, code)
}
