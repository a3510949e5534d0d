/**
 * Drivers that break one promise each, made from a driver that keeps them. The contract is worth what it finds here.
 */
import { Driver, Offset } from "@exactly-once/core"
import { Proxy } from "@exactly-once/testkit"
import { Effect, Layer } from "effect"
import { randomUUID } from "node:crypto"

type Service = Driver.Driver["Service"]
type DriverLayer = Layer.Layer<Driver.Driver, unknown>
type MakeDriver = (bootstrap: ReadonlyArray<string>) => DriverLayer

/** A mutant as a way to make drivers. */
export type Mutant = (make: MakeDriver) => MakeDriver

const mutate = (change: (driver: Service) => Service): Mutant => (make) => (bootstrap) =>
  Layer.effect(Driver.Driver, Effect.map(Driver.Driver, change)).pipe(Layer.provide(Layer.fresh(make(bootstrap))))

/** Breaks a promise on the wire, between the driver and the proxy of the case. */
const mutateWire = (rules: ReadonlyArray<Proxy.Rule>): Mutant => (make) => (bootstrap) =>
  Layer.unwrap(Effect.gen(function*() {
    const proxy = yield* Proxy.make({ bootstrap })
    for (const rule of rules) yield* proxy.inject(rule)
    return make(proxy.bootstrap)
  }))

type Handle = Driver.TransactionHandle

const mutateHandle = (change: (handle: Handle, producer: Driver.TransactionalProducer) => Handle): Mutant =>
  mutate((driver) => ({
    ...driver,
    transactionalProducer: (options) =>
      Effect.map(driver.transactionalProducer(options), (producer) => ({
        ...producer,
        begin: Effect.map(producer.begin, (handle) => change(handle, producer))
      }))
  }))

const mutateConsumer = (change: (options: Driver.ConsumerOptions, driver: Service) => Driver.ConsumerOptions): Mutant =>
  mutate((driver) => ({ ...driver, consumer: (options) => driver.consumer(change(options, driver)) }))

/** A failed send is forgotten: the rest of the transaction goes on and commits without its records. */
export const swallowsSendFailures: Mutant = mutateHandle((first, producer) => {
  let current = first
  const forget = (send: Effect.Effect<void, Driver.DriverError>) =>
    Effect.catch(send, () =>
      Effect.gen(function*() {
        yield* Effect.ignore(current.abort)
        yield* producer.init("Own")
        current = yield* producer.begin
      }))
  return {
    send: (topic, records) => forget(current.send(topic, records)),
    flush: Effect.suspend(() => forget(current.flush)),
    sendOffsets: (offsets) => current.sendOffsets(offsets),
    commit: Effect.suspend(() => current.commit),
    abort: Effect.suspend(() => current.abort)
  }
})

/** The last record of a long send is lost, and reported as sent. */
export const losesTheTail: Mutant = mutateHandle((handle) => ({
  ...handle,
  send: (topic, records) => handle.send(topic, records.length > 20 ? records.slice(0, -1) : records)
}))

/** `commit` answers before EndTxn was answered. */
export const commitsBehindOnesBack: Mutant = mutateHandle((handle) => ({
  ...handle,
  commit: Effect.asVoid(Effect.forkDetach(Effect.ignore(handle.commit), { startImmediately: true }))
}))

/** A commit without an answer is taken for done. */
export const takesUnknownForCommitted: Mutant = mutateHandle((handle) => ({
  ...handle,
  commit: Effect.catchIf(handle.commit, (error) => error.failure === "UnknownOutcome", () => Effect.void)
}))

/** A commit without an answer is taken for refused. */
export const takesUnknownForAborted: Mutant = mutateHandle((handle) => ({
  ...handle,
  commit: Effect.mapError(handle.commit, (error) =>
    error.failure === "UnknownOutcome"
      ? new Driver.DriverError({ operation: "commit", failure: "Abortable", description: "no answer" })
      : error)
}))

/** An abort registers something of its own first. */
export const registersBeforeAborting: Mutant = mutateHandle((handle) => ({
  ...handle,
  abort: Effect.andThen(
    Effect.ignore(handle.sendOffsets({
      groupId: `eager-${randomUUID()}`,
      delivery: null,
      offsets: [{ topic: "nowhere", partition: 0, offset: Offset.offsetUnsafe(0n), metadata: "" }]
    })),
    handle.abort
  )
}))

/** What was read back is said to carry the token that was last sent. */
export const believesEveryOffset: Mutant = mutate((driver) => {
  let token = ""
  return {
    ...driver,
    transactionalProducer: (options) =>
      Effect.map(driver.transactionalProducer(options), (producer) => ({
        ...producer,
        begin: Effect.map(producer.begin, (handle) => ({
          ...handle,
          sendOffsets: (offsets: Driver.TransactionOffsets) => {
            token = offsets.offsets[0]?.metadata ?? token
            return handle.sendOffsets(offsets)
          }
        }))
      })),
    admin: {
      ...driver.admin,
      committed: (groupId, partitions) =>
        Effect.map(
          driver.admin.committed(groupId, partitions),
          (found) => new Map(Array.from(found, ([key, { offset }]) => [key, { offset, metadata: token }]))
        )
    }
  }
})

/** A transactional id of its own for every process: nobody is fenced by a takeover. */
export const fencesNobody: Mutant = mutate((driver) => {
  const suffix = randomUUID()
  return {
    ...driver,
    transactionalProducer: (options) =>
      driver.transactionalProducer({ ...options, transactionalId: `${options.transactionalId}-${suffix}` })
  }
})

const mutateBatches = (change: (batch: Driver.FetchedBatch) => Driver.FetchedBatch): Mutant =>
  mutate((driver) => ({
    ...driver,
    consumer: (options) =>
      Effect.map(driver.consumer(options), (consumer) => {
        const originals = new WeakMap<Driver.FetchedBatch, Driver.FetchedBatch>()
        return {
          ...consumer,
          poll: Effect.map(consumer.poll, (batches) =>
            batches.map((batch) => {
              const changed = change(batch)
              originals.set(changed, batch)
              return changed
            })),
          release: (batch: Driver.FetchedBatch) => consumer.release(originals.get(batch) ?? batch)
        }
      })
  }))

/** The next offset is that of the last record plus one, whatever stands behind it. */
export const stopsAtTheLastRecord: Mutant = mutateBatches((batch) => {
  const last = batch.records.at(-1)
  return last === undefined ? batch : { ...batch, nextOffset: Offset.offsetUnsafe(last.offset + 1n) }
})

/** An abort does not move the position back. */
export const neverRewinds: Mutant = mutate((driver) => ({
  ...driver,
  consumer: (options) => Effect.map(driver.consumer(options), (consumer) => ({ ...consumer, seek: () => Effect.void }))
}))

/** Nobody is told that partitions are gone. */
export const forgetsLost: Mutant = mutateConsumer((options) => ({ ...options, onLost: () => Effect.void }))

/** A partition that is to be given back is treated as gone already. */
export const losesWhatIsRevoked: Mutant = mutateConsumer((options) => ({ ...options, onRevoking: options.onLost }))

/** Nobody is fenced, and nobody is told what is gone: a member of the old school. */
export const neitherFencesNorLoses: Mutant = (make) => fencesNobody(forgetsLost(make))

/** A rebalance waits for ever for what was given back. */
export const neverHandsBack: Mutant = mutateConsumer((options) => ({
  ...options,
  onRevoking: (partitions) => Effect.andThen(options.onRevoking(partitions), Effect.never)
}))

/** Says that the group still knows this member, without asking; and does not notice that it was evicted. */
export const confirmsWithoutAsking: Mutant = (make) =>
  mutate((driver) => ({
    ...driver,
    consumer: (options) => Effect.map(driver.consumer(options), (consumer) => ({ ...consumer, confirm: Effect.void }))
  }))(forgetsLost(make))

/** A transaction timeout that the broker would refuse is quietly cut to its maximum. */
export const cutsTheTimeout: Mutant = mutate((driver) => ({
  ...driver,
  transactionalProducer: (options) =>
    driver.transactionalProducer({ ...options, transactionTimeoutMs: Math.min(options.transactionTimeoutMs, 900_000) })
}))

/** A topic that is not there has one partition. */
export const inventsTopics: Mutant = mutate((driver) => ({
  ...driver,
  admin: {
    ...driver.admin,
    partitions: (topic) => Effect.catch(driver.admin.partitions(topic), () => Effect.succeed(1))
  }
}))

/** Members are not told apart, and not evicted: no replica name goes to the group. */
export const namesNoReplica: Mutant = mutate((driver) => ({
  ...driver,
  consumer: (options) =>
    Effect.map(driver.consumer({ ...options, member: undefined }), (consumer) => ({
      ...consumer,
      members: Effect.succeed([])
    }))
}))

/** Committed offsets are read before the predecessor was fenced. */
export const fetchesBeforeInit: Mutant = mutate((driver) => {
  let early: ReadonlyMap<string, Driver.CommittedOffset> | undefined
  const { committed } = driver.admin
  return {
    ...driver,
    admin: {
      ...driver.admin,
      committed: (groupId, partitions) =>
        Effect.suspend(() => early === undefined ? committed(groupId, partitions) : Effect.succeed(early))
    },
    consumer: (options) =>
      driver.consumer({
        ...options,
        onAssigned: (partitions) =>
          Effect.gen(function*() {
            early = yield* committed(options.groupId, partitions)
            const positions = yield* options.onAssigned(partitions)
            early = undefined
            return positions
          })
      })
  }
})

const every = { nth: "every" } as const
const body = (value: unknown): Record<string, unknown> => Object(value)
const list = (value: unknown): ReadonlyArray<Record<string, unknown>> => Array.isArray(value) ? value : []

/** The broker's list of aborted transactions is not looked at. */
export const leaksAborted: Mutant = mutateWire([{
  ...every,
  api: "Fetch",
  when: "after",
  do: {
    rewrite: (response) => ({
      ...body(response),
      responses: list(body(response)["responses"]).map((topic) => ({
        ...topic,
        partitions: list(topic["partitions"]).map((partition) => ({ ...partition, abortedTransactions: [] }))
      }))
    })
  }
}])

/** Reads what is not decided. */
export const readsUncommitted: Mutant = mutateWire([{
  ...every,
  api: "Fetch",
  when: "before",
  do: { rewrite: (request) => ({ ...body(request), isolationLevel: 0 }) }
}])

/** Every request of a transaction's begin takes its time, so that asking again is slow. */
export const asksAgainSlowly: Mutant = mutateWire([
  { ...every, api: "AddPartitionsToTxn", when: "before", do: { delay: "400 millis" } }
])

/** After a failure a transactional id goes on under the epoch it had. */
export const keepsItsEpoch: Mutant = (make) => (bootstrap) =>
  Layer.unwrap(Effect.gen(function*() {
    const proxy = yield* Proxy.make({ bootstrap })
    const first = new Map<unknown, unknown>()
    const known = (request: unknown) => first.get(body(request)["transactionalId"])
    yield* proxy.inject({
      ...every,
      api: "InitProducerId",
      where: (request) => known(request) !== undefined,
      when: "before",
      do: { answer: known }
    })
    yield* Effect.forkScoped(Effect.gen(function*() {
      for (let from = 0;;) {
        const init = yield* proxy.observed(({ api, phase }) => api === "InitProducerId" && phase === "answered", from)
        from = init.index + 1
        if (body(init.response())["errorCode"] === 0) {
          first.set(body(init.request())["transactionalId"], init.response())
        }
      }
    }))
    return make(proxy.bootstrap)
  }))
