/**
 * A small Kafka in memory behind the driver port, with the semantics that the rules of `core` are about: epochs, one
 * transaction per transactional id, markers, last stable offset, pending offsets whose log position decides, and a group
 * whose rebalances a test makes happen. Faults are hooks around each request.
 */
import { Deferred, Effect, Layer } from "effect"
import { Driver, Offset, TopicPartition } from "../../src/index.ts"

type TP = TopicPartition.TopicPartition

interface Entry {
  readonly record: Driver.EncodedRecord
  readonly producerId: bigint
  /** undefined: not transactional */
  readonly transaction: { state: "Open" | "Committed" | "Aborted" } | undefined
}

interface PendingOffset {
  readonly position: number
  readonly groupId: string
  readonly key: string
  readonly offset: bigint
  readonly metadata: string
}

interface Coordinated {
  readonly producerId: bigint
  epoch: number
  transaction: { state: "Open" | "Committed" | "Aborted" } | undefined
  pending: Array<PendingOffset>
}

/** A request as hooks and the log of requests see it. */
export interface Request {
  readonly op:
    | "leave"
    | "init"
    | "begin"
    | "send"
    | "flush"
    | "offsets"
    | "commit"
    | "abort"
    | "committed"
    | "poll"
    | "confirm"
  readonly id: string
}

export interface Options {
  readonly fencing?: "partition" | "group"
  readonly openTransactions?: number
  readonly partitions?: number
  readonly maxTransactionTimeoutMs?: number
}

export interface Seen {
  readonly key: string | null
  readonly value: string | null
  readonly partition: number
}

const text = new TextDecoder()
const str = (bytes: Uint8Array | null) => bytes === null ? null : text.decode(bytes)

export const make = (options: Options = {}) => {
  const { fencing = "partition", maxTransactionTimeoutMs = 900_000, openTransactions = 1, partitions = 2 } = options
  const logs = new Map<string, Array<Entry>>()
  const topics = new Map<string, number>()
  const coordinators = new Map<string, Coordinated>()
  const offsets = new Map<string, { position: number; offset: bigint; metadata: string }>()
  const requests: Array<Request> = []
  /** Calls of one transaction that ran side by side, which the port rules out. */
  const overlaps: Array<string> = []
  const wakers = new Set<() => void>()
  let nextPid = 1n
  let position = 0
  let before: (request: Request, nth: number) => Effect.Effect<void, Driver.DriverError> = () => Effect.void
  let after: (request: Request, nth: number) => Effect.Effect<void, Driver.DriverError> = () => Effect.void
  const counts = new Map<string, number>()

  const log = (tp: TP) => {
    const key = TopicPartition.format(tp)
    const found = logs.get(key)
    if (found !== undefined) return found
    const made: Array<Entry> = []
    logs.set(key, made)
    return made
  }
  const wake = () => {
    for (const f of Array.from(wakers)) f()
  }

  const fail = (operation: string, failure: Driver.FailureClass, code?: number) =>
    new Driver.DriverError({
      operation,
      failure,
      description: `memory: ${failure}`,
      ...(code === undefined ? {} : { code })
    })

  /** Runs the hooks around the effect of a request. What a hook fails with is what the client sees. */
  const request = <A>(req: Request, apply: () => A | Driver.DriverError): Effect.Effect<A, Driver.DriverError> =>
    Effect.suspend(() => {
      const nth = (counts.get(req.op) ?? 0) + 1
      counts.set(req.op, nth)
      requests.push(req)
      return Effect.gen(function*() {
        yield* before(req, nth)
        const result = apply()
        if (result instanceof Driver.DriverError) return yield* result
        yield* after(req, nth)
        return result
      })
    })

  const end = (coordinated: Coordinated, state: "Committed" | "Aborted") => {
    if (coordinated.transaction !== undefined) coordinated.transaction.state = state
    if (state === "Committed") {
      for (const pending of coordinated.pending) {
        const key = `${pending.groupId}/${pending.key}`
        const current = offsets.get(key)
        // The offset with the higher log position wins, not the later commit.
        if (current === undefined || current.position < pending.position) offsets.set(key, pending)
      }
    }
    coordinated.pending = []
    coordinated.transaction = undefined
    wake()
  }

  const lastStable = (entries: ReadonlyArray<Entry>): number => {
    const open = entries.findIndex((entry) => entry.transaction?.state === "Open")
    return open === -1 ? entries.length : open
  }

  const producer = (id: string): Driver.TransactionalProducer => {
    let mine: { producerId: bigint; epoch: number } | undefined
    const own = (operation: string): Coordinated | Driver.DriverError => {
      const found = coordinators.get(id)
      if (found === undefined || mine === undefined) return fail(operation, "Fatal")
      return found.epoch === mine.epoch ? found : fail(operation, "Fenced", 47)
    }
    let calling: Request["op"] | undefined
    const guarded = <A>(op: Request["op"], apply: (coordinated: Coordinated) => A | Driver.DriverError) =>
      Effect.suspend(() => {
        if (calling !== undefined) overlaps.push(`${op} while ${calling}`)
        const before = calling
        calling = op
        return request({ op, id }, () => {
          const coordinated = own(op)
          return coordinated instanceof Driver.DriverError ? coordinated : apply(coordinated)
        }).pipe(Effect.ensuring(Effect.sync(() => {
          calling = before
        })))
      })
    return {
      transactionalId: id,
      init: (mode) =>
        request({ op: "init", id }, () => {
          const found = coordinators.get(id)
          if (found === undefined) {
            const made: Coordinated = { producerId: nextPid++, epoch: 0, transaction: undefined, pending: [] }
            coordinators.set(id, made)
            mine = { producerId: made.producerId, epoch: 0 }
            return mine
          }
          if (mode === "Own" && mine !== undefined && mine.epoch !== found.epoch) return fail("init", "Fenced", 90)
          end(found, "Aborted")
          found.epoch += 1
          mine = { producerId: found.producerId, epoch: found.epoch }
          return mine
        }),
      begin: guarded("begin", () => ({
        send: (topic, records) =>
          guarded("send", (coordinated) => {
            coordinated.transaction ??= { state: "Open" }
            for (const record of records) {
              const partition = record.partition ?? (record.key === null ? 0 : (record.key[0] ?? 0) % partitions)
              log({ topic, partition }).push({
                record,
                producerId: coordinated.producerId,
                transaction: coordinated.transaction
              })
            }
          }),
        flush: guarded("flush", () => undefined),
        sendOffsets: (spent) =>
          guarded("offsets", (coordinated) => {
            coordinated.transaction ??= { state: "Open" }
            for (const entry of spent.offsets) {
              coordinated.pending.push({
                position: ++position,
                groupId: spent.groupId,
                key: TopicPartition.format(entry),
                offset: entry.offset,
                metadata: entry.metadata
              })
            }
          }),
        commit: guarded("commit", (coordinated) => end(coordinated, "Committed")),
        abort: guarded("abort", (coordinated) => end(coordinated, "Aborted"))
      }))
    }
  }

  interface Member {
    readonly options: Driver.ConsumerOptions
    readonly positions: Map<string, { tp: TP; offset: bigint; begin: bigint; out: number }>
    generation: number
    evicted: boolean
    failed: Driver.DriverError | undefined
  }
  const members = new Set<Member>()
  let generation = 0
  let strangers: ReadonlyArray<Driver.GroupMember> = []

  const assign = (member: Member, tps: ReadonlyArray<TP>) =>
    Effect.gen(function*() {
      member.generation = ++generation
      const starts = yield* member.options.onAssigned(tps)
      for (const { offset, partition, topic } of starts) {
        member.positions.set(TopicPartition.format({ topic, partition }), {
          tp: { topic, partition },
          offset,
          begin: offset,
          out: 0
        })
      }
      wake()
    })

  const revoke = (member: Member, tps: ReadonlyArray<TP>) =>
    Effect.gen(function*() {
      yield* member.options.onRevoking(tps)
      for (const tp of tps) member.positions.delete(TopicPartition.format(tp))
    })

  const lose = (member: Member, tps: ReadonlyArray<TP>) =>
    Effect.gen(function*() {
      for (const tp of tps) member.positions.delete(TopicPartition.format(tp))
      yield* member.options.onLost(tps)
    })

  const fetch = (member: Member): ReadonlyArray<Driver.FetchedBatch> => {
    const batches: Array<Driver.FetchedBatch> = []
    for (const state of member.positions.values()) {
      if (state.out >= member.options.unreleasedPerPartition) continue
      const entries = log(state.tp)
      const stable = lastStable(entries)
      const from = Number(state.offset)
      if (from >= stable) continue
      const records: Array<Driver.FetchedRecord> = []
      let next = from
      for (
        let i = from;
        i < stable &&
        records.length <
          (member.options.maxBytesPerPartition < 1_000_000 ? member.options.maxBytesPerPartition : 1_000);
        i++
      ) {
        next = i + 1
        const entry = entries[i]
        if (entry === undefined || entry.transaction?.state === "Aborted") continue
        records.push({
          ...state.tp,
          offset: Offset.offsetUnsafe(BigInt(i)),
          timestamp: entry.record.timestamp ?? 0n,
          key: entry.record.key,
          value: entry.record.value,
          headers: entry.record.headers ?? []
        })
      }
      state.offset = BigInt(next)
      if (records.length === 0) continue
      state.out += 1
      const startOffset = Offset.offsetUnsafe(state.begin)
      state.begin = BigInt(next)
      batches.push({
        ...state.tp,
        records,
        startOffset,
        nextOffset: Offset.offsetUnsafe(BigInt(next)),
        delivery: { memberId: "m", generation: member.generation, groupInstanceId: null }
      })
    }
    return batches
  }

  const consumer: Driver.Driver["Service"]["consumer"] = (consumerOptions) =>
    Effect.gen(function*() {
      const member: Member = {
        options: consumerOptions,
        positions: new Map(),
        generation: 0,
        evicted: false,
        failed: undefined
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => members.add(member)),
        () =>
          Effect.sync(() => {
            members.delete(member)
            requests.push({ op: "leave", id: consumerOptions.groupId })
          })
      )
      const all = consumerOptions.topics.flatMap((topic) =>
        Array.from({ length: topics.get(topic) ?? 0 }, (_, partition) => ({ topic, partition }))
      )
      yield* Effect.forkScoped(Effect.catch(assign(member, all), (error) =>
        Effect.sync(() => {
          member.failed = error
          wake()
        })))
      const poll: Effect.Effect<ReadonlyArray<Driver.FetchedBatch>, Driver.DriverError> = Effect.callback((resume) => {
        const look = () => {
          if (member.failed !== undefined) {
            wakers.delete(look)
            return resume(Effect.fail(member.failed))
          }
          const batches = fetch(member)
          if (batches.length === 0) return
          wakers.delete(look)
          resume(Effect.succeed(batches))
        }
        wakers.add(look)
        look()
        return Effect.sync(() => wakers.delete(look))
      })
      return {
        poll: Effect.andThen(request({ op: "poll", id: consumerOptions.groupId }, () => undefined), poll),
        release: (batch) =>
          Effect.sync(() => {
            const state = member.positions.get(TopicPartition.format(batch))
            if (state !== undefined) state.out = Math.max(0, state.out - 1)
            wake()
          }),
        seek: (tp, offset) =>
          Effect.sync(() => {
            const state = member.positions.get(TopicPartition.format(tp))
            if (state !== undefined) {
              state.offset = offset
              state.begin = offset
            }
            wake()
          }),
        confirm: request({ op: "confirm", id: consumerOptions.groupId }, () =>
          member.evicted ? fail("confirm", "Rebalanced", 25) : undefined),
        members: Effect.sync(() => [
          { memberId: "me", replica: member.options.member?.replica, incarnation: member.options.member?.incarnation },
          ...strangers
        ])
      }
    })

  /** A stable fetch: suspends while offsets of these partitions are pending. */
  const settled = (groupId: string, tps: ReadonlyArray<TP>): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const keys = new Set(tps.map(TopicPartition.format))
      const look = () => {
        for (const { pending } of coordinators.values()) {
          if (pending.some((one) => one.groupId === groupId && keys.has(one.key))) return
        }
        wakers.delete(look)
        resume(Effect.void)
      }
      wakers.add(look)
      look()
      return Effect.sync(() => wakers.delete(look))
    })

  const layer = Layer.succeed(Driver.Driver, {
    capabilities: {
      name: "memory",
      fencing,
      openTransactions,
      ownEpochInit: fencing === "group",
      stableFetch: true,
      holdsRevocation: true,
      transactionsV2: false,
      compression: ["none"]
    },
    transactionalProducer: ({ transactionTimeoutMs, transactionalId }) =>
      transactionTimeoutMs > maxTransactionTimeoutMs
        ? Effect.fail(fail("init", "Misconfigured", 50))
        : Effect.sync(() => producer(transactionalId)),
    idempotentProducer: () =>
      Effect.succeed({
        send: (topic, records) =>
          request({ op: "send", id: "idempotent" }, () =>
            records.map((record) => {
              const partition = record.partition ?? 0
              const entries = log({ topic, partition })
              entries.push({ record, producerId: 0n, transaction: undefined })
              wake()
              return { topic, partition, offset: Offset.offsetUnsafe(BigInt(entries.length - 1)) }
            }))
      }),
    consumer,
    admin: {
      partitions: (topic) =>
        Effect.suspend(() => {
          const count = topics.get(topic)
          return count === undefined ? Effect.fail(fail("partitions", "Misconfigured", 3)) : Effect.succeed(count)
        }),
      committed: (groupId, tps) =>
        Effect.andThen(
          settled(groupId, tps),
          request({ op: "committed", id: groupId }, () => {
            const found = new Map<string, Driver.CommittedOffset>()
            for (const tp of tps) {
              const committed = offsets.get(`${groupId}/${TopicPartition.format(tp)}`)
              if (committed !== undefined) {
                found.set(TopicPartition.format(tp), {
                  offset: Offset.offsetUnsafe(committed.offset),
                  metadata: committed.metadata
                })
              }
            }
            return found
          })
        ),
      offsets: (tps, at) =>
        Effect.sync(() =>
          new Map(tps.map((tp) => [
            TopicPartition.format(tp),
            Offset.offsetUnsafe(at === "earliest" ? 0n : BigInt(lastStable(log(tp))))
          ]))
        )
    }
  })

  return {
    layer,
    requests,
    overlaps,
    createTopic: (name: string, count = partitions) => {
      topics.set(name, count)
    },
    put: (topic: string, partition: number, values: ReadonlyArray<string>) => {
      for (const value of values) {
        log({ topic, partition }).push({
          record: { key: new TextEncoder().encode(value), value: new TextEncoder().encode(value) },
          producerId: 0n,
          transaction: undefined
        })
      }
      wake()
    },
    /** What a read_committed reader sees of a topic, partition by partition. */
    committed: (topic: string): ReadonlyArray<Seen> =>
      Array.from({ length: topics.get(topic) ?? partitions }, (_, partition) => partition).flatMap((partition) => {
        const entries = log({ topic, partition })
        return entries.slice(0, lastStable(entries))
          .filter(({ transaction }) => transaction?.state !== "Aborted")
          .map(({ record }) => ({ key: str(record.key), value: str(record.value), partition }))
      }),
    values(topic: string): ReadonlyArray<string | null> {
      return this.committed(topic).map(({ value }) => value)
    },
    offset: (groupId: string, tp: TP): bigint | undefined =>
      offsets.get(`${groupId}/${TopicPartition.format(tp)}`)?.offset,
    /** No transaction is open under any id. */
    quiet: () => Array.from(coordinators.values()).every(({ transaction }) => transaction === undefined),
    before: (hook: typeof before) => {
      before = hook
    },
    after: (hook: typeof after) => {
      after = hook
    },
    fail,
    /** What another process under the same id would do. */
    fence: (id: string) => {
      const found = coordinators.get(id)
      if (found === undefined) throw new Error(`nobody holds ${id}`)
      end(found, "Aborted")
      found.epoch += 1
    },
    ids: () => Array.from(coordinators.keys()),
    /** How often an id was taken over: whoever has an older epoch is fenced. */
    epoch: (id: string): number | undefined => coordinators.get(id)?.epoch,
    /** What another member's transaction, or a person, would commit. */
    commitAs: (groupId: string, tp: TP, offset: bigint, metadata = "another's") => {
      offsets.set(`${groupId}/${TopicPartition.format(tp)}`, { position: ++position, offset, metadata })
    },
    strangers: (found: ReadonlyArray<Driver.GroupMember>) => {
      strangers = found
    },
    hasMember: () => members.size > 0,
    member: (): Member => {
      const [first] = members
      if (first === undefined) throw new Error("nobody is in the group")
      return first
    },
    assign,
    revoke,
    lose,
    reset: () => counts.clear(),
    count: (op: Request["op"]) => requests.filter((req) => req.op === op).length,
    deferred: <A = void>() => Deferred.makeUnsafe<A>()
  }
}
