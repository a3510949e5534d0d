/**
 * A driver's failure as one of the public errors.
 */
import * as Duration from "effect/Duration"
import type { DriverError } from "../Driver.ts"
import * as ErrorCode from "../ErrorCode.ts"
import {
  CorruptRecord,
  InvalidRecord,
  KafkaFailure,
  KafkaUnavailable,
  Misconfigured,
  OffsetOutOfRange,
  Unauthorized
} from "../KafkaError.ts"
import type { KafkaError } from "../KafkaError.ts"
import {
  type AbortReason,
  ProducerFenced,
  TransactionAborted,
  type TransactionError,
  TransactionTimedOut
} from "../TransactionError.ts"

const code = (error: DriverError) => error.code === undefined ? {} : { code: error.code }
const cause = (error: DriverError) => error.cause === undefined ? {} : { cause: error.cause }

const described = ({ code, description }: DriverError): string =>
  code === undefined || description.includes(ErrorCode.of(code).name)
    ? description
    : `${description} (${ErrorCode.format(code)})`

/** Settings of the layers by the code that refuses them. */
const settings: Readonly<Record<number, string>> = {
  23: "groupId",
  24: "groupId",
  26: "sessionTimeout",
  50: "transactionTimeout",
  76: "compression",
  81: "groupId"
}

/** What to name in a refusal: a setting, else the topic, else what was being done. */
export const settingOf = ({ code, operation, setting, topic }: DriverError, otherwise = topic ?? operation): string =>
  setting ?? settings[code ?? 0] ?? otherwise

/** Outside a transaction's life: connecting, looking up, joining. */
export const toKafkaError = (error: DriverError): KafkaError => {
  const { operation } = error
  const description = described(error)
  switch (error.failure) {
    case "Unauthorized":
      return new Unauthorized({ operation, description, ...code(error) })
    case "Misconfigured":
      return new Misconfigured({ setting: settingOf(error), description })
    case "Retriable":
    case "Unavailable":
    case "UnknownOutcome":
      return new KafkaUnavailable({ operation, description, ...cause(error) })
    default:
      return new KafkaFailure({ operation, description, ...code(error), ...cause(error) })
  }
}

/** While reading. */
export const toConsumeError = (error: DriverError): KafkaError | OffsetOutOfRange | CorruptRecord => {
  const place = { topic: error.topic ?? "unknown topic", partition: error.partition ?? -1 }
  switch (error.failure) {
    case "OffsetOutOfRange":
      return new OffsetOutOfRange({
        ...place,
        ...(error.offset === undefined ? {} : { offset: error.offset }),
        description: `${described(error)}. Set the group's offset to where the work should go on, then start again`
      })
    case "CorruptRecord":
      return new CorruptRecord({ ...place, description: described(error) })
    default:
      return toKafkaError(error)
  }
}

export interface TransactionContext {
  readonly transactionalId: string
  readonly phase: "Body" | "Send" | "Offsets" | "Commit"
  readonly transactionTimeoutMs: number
  readonly elapsedMs: number
}

/** The coordinator ended it: seen as a fence once the transaction's own time is over (KIP-588, KIP-890). */
export const coordinatorTimedOut = (context: TransactionContext): TransactionTimedOut =>
  new TransactionTimedOut({
    transactionalId: context.transactionalId,
    phase: context.phase,
    enforcedBy: "Coordinator",
    budget: Duration.millis(context.transactionTimeoutMs),
    elapsed: Duration.millis(context.elapsedMs)
  })

/** Whether a fence is the coordinator's own time-out. */
export const isCoordinatorTimeout = (error: DriverError, context: TransactionContext): boolean =>
  error.failure === "Fenced" && context.elapsedMs >= context.transactionTimeoutMs

export const fenced = (
  transactionalId: string,
  by: "NewerInstance" | "GroupMember" | "Unknown",
  error: DriverError
): ProducerFenced => new ProducerFenced({ transactionalId, by, description: described(error) })

const reasons: Readonly<Record<TransactionContext["phase"], AbortReason>> = {
  Body: "SendFailed",
  Send: "SendFailed",
  Offsets: "OffsetsFailed",
  Commit: "CommitRefused"
}

/** The operation that failed when a transaction is given up because the one before it in its lane did not commit (S7). */
export const predecessor = "predecessor"

/** A failed step's reason, as an outcome names it. */
export const abortReason = (error: DriverError, phase: TransactionContext["phase"]): AbortReason => {
  if (error.operation === predecessor) return "PredecessorAborted"
  return error.failure === "Rebalanced" || error.failure === "Unavailable" ? error.failure : reasons[phase]
}

/** A failed step as the abort it leads to, or as the error that no retry mends. */
export const toAborted = (
  error: DriverError,
  context: TransactionContext
): TransactionAborted | Unauthorized | InvalidRecord | Misconfigured => {
  switch (error.failure) {
    case "Unauthorized":
      return new Unauthorized({ operation: error.operation, description: described(error), ...code(error) })
    case "InvalidRecord":
      return new InvalidRecord({ topic: error.topic ?? "unknown topic", description: described(error), ...code(error) })
    case "Misconfigured":
      return new Misconfigured({ setting: settingOf(error), description: described(error) })
    default:
      return new TransactionAborted({
        transactionalId: context.transactionalId,
        reason: abortReason(error, context.phase),
        description: described(error),
        ...code(error),
        ...cause(error)
      })
  }
}

/** A failed step as its body sees it, before anybody asked whose fence it is. */
export const toEmitError = (
  error: DriverError,
  context: TransactionContext
): TransactionError | Unauthorized | InvalidRecord | Misconfigured =>
  error.failure !== "Fenced"
    ? toAborted(error, context)
    : isCoordinatorTimeout(error, context)
    ? coordinatorTimedOut(context)
    : fenced(context.transactionalId, "Unknown", error)

/** Whether a later attempt of the same work can succeed without anybody's help. */
export const isTransient = (error: DriverError): boolean => {
  switch (error.failure) {
    case "Retriable":
    case "Abortable":
    case "Rebalanced":
    case "UnknownOutcome":
    case "Unavailable":
      return true
    default:
      return false
  }
}
