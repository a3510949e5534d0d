/** Transactions of one record by requests of our own, as KIP-890 has them: Produce, then EndTxn, which gives the next epoch. */
import { Apis, BatchBuilder } from "@exactly-once/protocol"
import { Probe, RawConnection } from "@exactly-once/testkit"
import { Effect } from "effect"

const value = new Uint8Array(100).fill(120)

const expectNone = (what: string, code: number | undefined): void => {
  if (code !== 0) throw new Error(`${what} was answered with error ${code}`)
}

/** Of a real cluster: a topic or a coordinator that is not there yet, and markers that are still being written. */
const passing = new Set<number | undefined>([3, 5, 6, 14, 15, 16, 51, 100])

const patiently = <A, E, R>(request: Effect.Effect<A, E, R>, codeOf: (answer: A) => number | undefined) =>
  Effect.repeat(request, { until: (answer) => !passing.has(codeOf(answer)), times: 10_000 })

/** So many transactions one after the other over one connection, on a partition of its own. */
const lane = (address: string, topicId: string, index: number, transactionalId: string, count: number) =>
  Effect.gen(function*() {
    const { request } = yield* RawConnection.connect(address)
    yield* request(Apis.FindCoordinator, 4, { keyType: 1, coordinatorKeys: [transactionalId] })
    let { errorCode, producerEpoch, producerId } = yield* patiently(
      request(Apis.InitProducerId, 4, {
        transactionalId,
        transactionTimeoutMs: 60_000,
        producerId: -1n,
        producerEpoch: -1
      }),
      (answer) => answer.errorCode
    )
    expectNone("InitProducerId", errorCode)
    const builder = new BatchBuilder()
    for (let i = 0; i < count; i++) {
      builder.reset()
      builder.append({ key: null, value, timestamp: Date.now() })
      const records = builder.finish({ producerId, producerEpoch, baseSequence: 0, isTransactional: true })
      const produced = yield* patiently(
        request(Apis.Produce, 13, {
          transactionalId,
          acks: -1,
          timeoutMs: 10_000,
          topicData: [{ topicId, partitionData: [{ index, records }] }]
        }),
        ({ responses }) => responses[0]?.partitionResponses[0]?.errorCode
      )
      expectNone("Produce", produced.responses[0]?.partitionResponses[0]?.errorCode)
      const ended = yield* request(Apis.EndTxn, 5, { transactionalId, producerId, producerEpoch, committed: true })
      expectNone("EndTxn", ended.errorCode)
      producerId = ended.producerId
      producerEpoch = ended.producerEpoch
    }
  })

let runs = 0

/** One-record transactions per second over as many connections as there are lanes; a cluster of one node. */
export const transactionsPerSecond = (bootstrap: string, lanes: number, count: number): Promise<number> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const topic = `transactions-${process.pid}-${++runs}`
    const probe = yield* Probe.make([bootstrap])
    yield* probe.createTopic(topic, lanes)
    const { request } = yield* RawConnection.connect(bootstrap)
    const metadata = yield* request(Apis.Metadata, 12, { topics: [{ name: topic }], allowAutoTopicCreation: false })
    const topicId = metadata.topics[0]?.topicId ?? ""
    const each = Math.ceil(count / lanes)
    const started = performance.now()
    yield* Effect.forEach(
      Array.from({ length: lanes }, (_, index) => index),
      (index) => lane(bootstrap, topicId, index, `${topic}-${index}`, each),
      { concurrency: "unbounded" }
    )
    return lanes * each / ((performance.now() - started) / 1000)
  })))
