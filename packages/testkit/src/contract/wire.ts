/** What cases ask about requests on the wire. */
import * as Effect from "effect/Effect"
import type { ApiName } from "../Api.ts"
import type { Observation, Phase, Proxy } from "../Proxy.ts"
import { within } from "./EventLog.ts"

type Seen = (observation: Observation) => boolean

/** A field of a decoded body; `undefined` where there is none. */
export const field = (body: unknown, name: string): unknown => Reflect.get(Object(body), name)

/** Requests of these names in one phase, whose bodies satisfy `where`. */
export const saw =
  (phase: Phase, apis: ReadonlyArray<ApiName>, where: (body: unknown) => boolean = () => true): Seen => (observation) =>
    observation.phase === phase && apis.some((api) => api === observation.api) && where(observation.request())

export const committing = (body: unknown): boolean => field(body, "committed") === true
export const under = (transactionalId: string) => (body: unknown): boolean =>
  field(body, "transactionalId") === transactionalId || field(body, "v3AndBelowTransactionalId") === transactionalId

/** EndTxn(commit) and EndTxn(abort). */
export const commitSent = saw("received", ["EndTxn"], committing)
export const commitApplied: Seen = (observation) =>
  saw("answered", ["EndTxn"], committing)(observation) && field(observation.response(), "errorCode") === 0

/** Everything of a transaction that leaves a trace at the coordinators or in a log. */
export const transactional: ReadonlyArray<ApiName> = [
  "Produce",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn"
]

/** Awaits an observation, by name. */
export const awaitSeen = (
  what: string,
  proxy: Proxy["Service"],
  seen: Seen,
  from = 0
): Effect.Effect<Observation> => within(what, proxy.observed(seen, from))

/** What was observed from a mark on that matches. */
export const seenSince = (proxy: Proxy["Service"], seen: Seen, from = 0): Effect.Effect<ReadonlyArray<Observation>> =>
  Effect.map(proxy.journal(from), (journal) => journal.filter(seen))

/** The group has told the member something since: two heartbeats were answered. */
export const heartbeats = (proxy: Proxy["Service"]): Effect.Effect<void> =>
  Effect.gen(function*() {
    const beat = saw("delivered", ["Heartbeat", "ConsumerGroupHeartbeat"])
    const first = yield* awaitSeen("a heartbeat is answered", proxy, beat, yield* proxy.mark)
    yield* awaitSeen("a second heartbeat is answered", proxy, beat, first.index + 1)
  })

/** The worker behind this proxy has asked to be a member. */
export const joined = (proxy: Proxy["Service"]): Effect.Effect<Observation> =>
  awaitSeen("the worker joins the group", proxy, saw("forwarded", ["JoinGroup", "ConsumerGroupHeartbeat"]))
