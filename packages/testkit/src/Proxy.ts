/**
 * A TCP proxy between any Kafka client and any Kafka. Clients bootstrap from the proxy's address and reach every broker
 * through it; rules cut, drop, delay, duplicate or refuse a named request, before or after the broker applied it.
 *
 * Tests await what they caused (`Injection.fired`, `Proxy.observed`), and need no sleep.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type Action, arm, type Rule } from "./internal/faultRules.ts"
import { Hub } from "./internal/hub.ts"
import type { Observation, Phase } from "./internal/journal.ts"
import { canRefuse } from "./internal/refusals.ts"

export type { Action, Observation, Phase, Rule }

/** The proxy could not listen, or a rule asks for what cannot be played. */
export class ProxyError extends Schema.TaggedError<ProxyError>()("ProxyError", {
  description: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return this.description
  }
}

/** Which connections are meant; all of them when nothing is said. */
export interface ConnectionFilter {
  readonly clientId?: string | RegExp
  readonly connection?: number
}

/** A rule in force. */
export interface Injection {
  /** How often the rule fired. */
  readonly count: Effect.Effect<number>
  /** Completes when the rule has fired for the first time. */
  readonly fired: Effect.Effect<void>
  /** Lets go what the rule holds, and disarms it. */
  readonly release: Effect.Effect<void>
  /** Disarms the rule; what it holds stays held. */
  readonly disarm: Effect.Effect<void>
}

/** Between clients and brokers. */
export class Proxy extends Context.Service<Proxy, {
  /** `host:port`, one per bootstrap address of the cluster. */
  readonly bootstrap: ReadonlyArray<string>
  /** Puts a rule in force. */
  readonly inject: (rule: Rule) => Effect.Effect<Injection, ProxyError>
  /**
   * Stops every byte of these connections, in both directions, now and when they are opened later. Answers how to let
   * them go on; what was written meanwhile then arrives.
   */
  readonly freeze: (filter?: ConnectionFilter) => Effect.Effect<{ readonly thaw: Effect.Effect<void> }>
  /** Closes these connections, in both directions. Clients may open new ones. Answers how many there were. */
  readonly sever: (filter?: ConnectionFilter) => Effect.Effect<number>
  /** Refuses new connections and closes those there are, until `up`. */
  readonly down: Effect.Effect<void>
  readonly up: Effect.Effect<void>
  /** A position in the journal: what is observed next has this index. */
  readonly mark: Effect.Effect<number>
  /** What was observed, from a mark on. The oldest entries are forgotten after 100,000. */
  readonly journal: (from?: number) => Effect.Effect<ReadonlyArray<Observation>>
  /** Completes with the first observation that matches, past ones included, from a mark on. */
  readonly observed: (predicate: (observation: Observation) => boolean, from?: number) => Effect.Effect<Observation>
}>()("@exactly-once/testkit/Proxy") {}

export interface ProxyOptions {
  /** `host:port` of the cluster's own bootstrap addresses. */
  readonly bootstrap: ReadonlyArray<string>
}

const unplayable = (rule: Rule, apiKey: number): string | undefined => {
  const refused = typeof rule.do === "object" && "error" in rule.do
  if (refused && rule.when === "before" && !canRefuse(apiKey)) return `${rule.api} cannot be refused before the broker`
  if (typeof rule.do === "object" && "answer" in rule.do && rule.when === "after") {
    return "answer is played before the broker"
  }
  if (typeof rule.nth === "number" && !(Number.isInteger(rule.nth) && rule.nth >= 1)) return `nth counts from 1`
  return undefined
}

/** A proxy that lives as long as its scope. */
export const make = (options: ProxyOptions): Effect.Effect<Proxy["Service"], ProxyError, Scope.Scope> =>
  Effect.gen(function*() {
    const hub = yield* Effect.acquireRelease(
      Effect.sync(() => new Hub()),
      (hub) =>
        Effect.flatMap(Effect.promise(() => hub.close()), () => {
          const [problem] = hub.problems
          return problem === undefined ? Effect.void : Effect.die(problem)
        })
    )
    const bootstrap = yield* Effect.tryPromise({
      try: () => hub.open(options.bootstrap),
      catch: (cause) => new ProxyError({ description: "the proxy cannot listen on a loopback port", cause })
    })
    return Proxy.of({
      bootstrap,
      inject: (rule) =>
        Effect.gen(function*() {
          const armed = arm(rule)
          const problem = unplayable(rule, armed.apiKey)
          if (problem !== undefined) return yield* new ProxyError({ description: problem })
          const fired = Deferred.makeUnsafe<void>()
          const release = hub.add(armed, () => Deferred.doneUnsafe(fired, Effect.void))
          return {
            count: Effect.sync(() => armed.fired),
            fired: Deferred.await(fired),
            release: Effect.sync(() => {
              armed.armed = false
              release()
            }),
            disarm: Effect.sync(() => {
              armed.armed = false
            })
          }
        }),
      freeze: (filter = {}) =>
        Effect.sync(() => {
          const thaw = hub.freeze(filter)
          return { thaw: Effect.sync(thaw) }
        }),
      sever: (filter = {}) => Effect.sync(() => hub.sever(filter)),
      down: Effect.sync(() => hub.refuseConnections(true)),
      up: Effect.sync(() => hub.refuseConnections(false)),
      mark: Effect.sync(() => hub.journal.size),
      journal: (from = 0) => Effect.sync(() => hub.journal.since(from)),
      observed: (predicate, from = 0) =>
        Effect.callback<Observation>((resume) => {
          const stop = hub.journal.wait(from, predicate, (observation) => resume(Effect.succeed(observation)))
          return Effect.sync(stop)
        })
    })
  })

/** `make` as a layer. */
export const layer = (options: ProxyOptions): Layer.Layer<Proxy, ProxyError> => Layer.effect(Proxy, make(options))
