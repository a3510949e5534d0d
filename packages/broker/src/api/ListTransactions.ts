/**
 * ListTransactions: v0-2
 *
 * Behaviour
 * - The ids that this node coordinates (KIP-664), by state and producer id; states that do not exist are named in the answer.
 *
 * Versions
 * - v1 only those that run longer than a duration; v2 only those whose whole id matches a pattern, 128 for one that is none.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

const STATES = new Set([
  "Empty",
  "Ongoing",
  "PrepareCommit",
  "PrepareAbort",
  "CompleteCommit",
  "CompleteAbort",
  "Dead",
  "PrepareEpochFence"
])

const compile = (pattern: string): RegExp | undefined => {
  try {
    return new RegExp(`^(?:${pattern})$`)
  } catch {
    return undefined
  }
}

const nothing = (errorCode: number) => ({
  throttleTimeMs: 0,
  errorCode,
  unknownStateFilters: [],
  transactionStates: []
})

export const ListTransactions = serve(Apis.ListTransactions, {
  handle: (request, { cluster, node }, reply) => {
    const { durationFilter, producerIdFilters, stateFilters, transactionalIdPattern } = request
    const pattern = transactionalIdPattern === null || transactionalIdPattern === ""
      ? /^/
      : compile(transactionalIdPattern)
    if (pattern === undefined) return reply(nothing(Code.INVALID_REGULAR_EXPRESSION))
    const now = cluster.transactionTime()
    const states = new Set(stateFilters)
    const producerIds = new Set(producerIdFilters)
    const transactionStates = [...cluster.transactions.all()]
      .filter((it) =>
        cluster.transactionError(it.transactionalId, node.id) === Code.NONE &&
        (states.size === 0 || states.has(it.state)) &&
        (producerIds.size === 0 || producerIds.has(BigInt(it.producerId))) &&
        (durationFilter < 0n || BigInt(now - it.startedAt) > durationFilter) &&
        pattern.test(it.transactionalId)
      )
      .map((it) => ({
        transactionalId: it.transactionalId,
        producerId: BigInt(it.producerId),
        transactionState: it.state
      }))
    const unknownStateFilters = stateFilters.filter((state) => !STATES.has(state))
    reply({ throttleTimeMs: 0, errorCode: Code.NONE, unknownStateFilters, transactionStates })
  },
  refuse: (_request, error) => nothing(error)
})
