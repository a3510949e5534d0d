/**
 * What a failed exchange with a broker means. Three facts decide: the broker's code, if it answered; whether the request
 * can have left this process; and whether it could have changed anything.
 */
import { Driver, ErrorCode } from "@exactly-once/core"
import { TransportError } from "../Transport.ts"

/** A failed exchange. `sent` is false only when no byte of the request can have reached a broker. */
export interface Failure {
  readonly _tag: "Failure"
  readonly api: string
  readonly sent: boolean
  readonly code?: number | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  readonly cause?: unknown
}

export interface Where {
  readonly topic?: string | undefined
  readonly partition?: number | undefined
}

/** The broker refused, with a code. */
export const answered = (api: string, code: number, where: Where = {}): Failure => ({
  _tag: "Failure",
  api,
  sent: true,
  code,
  ...where
})

/** There was no answer. */
export const unanswered = (api: string, sent: boolean, cause: unknown): Failure => ({
  _tag: "Failure",
  api,
  sent,
  cause
})

/** A request that this process itself cannot make: nothing was sent, and asking again changes nothing. */
export class Refused extends Error {
  readonly failure: Driver.FailureClass
  readonly setting: string | undefined

  constructor(failure: Driver.FailureClass, description: string, setting?: string) {
    super(description)
    this.failure = failure
    this.setting = setting
  }
}

const text = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const hints: Readonly<Record<number, string>> = {
  2: "a batch did not match its checksum",
  3: "the topic or partition does not exist; create it, it is never created by this client",
  10: "the record is larger than the topic's max.message.bytes",
  12: "the offset's metadata is longer than the broker's offset.metadata.max.bytes",
  18: "the batch is larger than the topic's segment.bytes",
  23: "other members of this group use another assignor: give this application a group of its own",
  26: "the session timeout is outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
  29: "the principal needs the operation on this topic (Read to consume, Write to produce, Describe for both)",
  30: "the principal needs Read on this consumer group",
  31: "the principal needs IdempotentWrite on the cluster",
  35: "the brokers are too old for this client, which needs Kafka 3.1 or newer",
  50: "the transaction timeout is larger than the broker's transaction.max.timeout.ms",
  53: "the principal needs Write and Describe on this transactional.id",
  58: "the broker refused the user name or the password; check the sasl options",
  76: "the broker does not accept this compression type",
  87: "the broker refused the record (a compacted topic takes no null key)",
  100: "the topic was deleted, or deleted and made anew"
}

const place = ({ partition, topic }: Where): string =>
  topic === undefined ? "" : ` for ${topic}${partition === undefined ? "" : `-${partition}`}`

const classOf = (failure: Failure, kind: "read" | "write"): Driver.FailureClass => {
  if (failure.code !== undefined) return ErrorCode.of(failure.code).failure
  if (failure.cause instanceof Refused) return failure.cause.failure
  if (failure.cause instanceof TransportError && failure.cause.reason === "Refused") return "Misconfigured"
  return failure.sent && kind === "write" ? "UnknownOutcome" : "Unavailable"
}

const describe = (failure: Failure): string => {
  const { api, cause, code, sent } = failure
  if (code !== undefined) {
    const hint = hints[code]
    return `${api} was answered ${ErrorCode.format(code)}${place(failure)}${hint === undefined ? "" : `: ${hint}`}`
  }
  if (cause instanceof Refused) return cause.message
  if (cause instanceof TransportError && cause.reason === "Refused") {
    return `${api}: no connection over TLS: ${text(cause)}; check the ssl options`
  }
  return `${api} ${sent ? "was sent and not answered" : "could not be sent"}${place(failure)}: ${text(cause)}`
}

/** The setting that a person would mend, where one is to blame. */
const settingOf = ({ cause, code }: Failure): string | undefined =>
  cause instanceof Refused
    ? cause.setting
    : cause instanceof TransportError && cause.reason === "Refused"
    ? "ssl"
    : code === 35
    ? "bootstrap"
    : code === 34 || code === 58
    ? "sasl"
    : undefined

/** `read`: the request changes nothing, so that a lost answer is only a missing one. */
export const toDriverError = (
  operation: string,
  failure: Failure,
  kind: "read" | "write"
): Driver.DriverError => {
  const setting = settingOf(failure)
  return new Driver.DriverError({
    operation,
    failure: classOf(failure, kind),
    description: describe(failure),
    ...(setting === undefined ? {} : { setting }),
    ...(failure.code === undefined ? {} : { code: failure.code }),
    ...(failure.topic === undefined ? {} : { topic: failure.topic }),
    ...(failure.partition === undefined ? {} : { partition: failure.partition }),
    ...(failure.cause === undefined ? {} : { cause: failure.cause })
  })
}

/** Codes of a coordinator that is not ready, or elsewhere. */
export const isCoordinatorMove = ({ code }: Failure): boolean => code === 14 || code === 15 || code === 16

export const isConcurrentTransactions = ({ code }: Failure): boolean => code === 51

/** Nothing was sent, and the next attempt may fare better: a broker is starting, or its connection has just ended. */
export const isUnsent = ({ cause, code, sent }: Failure): boolean =>
  code === undefined && !sent && !(cause instanceof Refused) &&
  !(cause instanceof TransportError && cause.reason === "Refused")

/** The same request may go out again, since this one certainly changed nothing. */
export const hadNoEffect = (failure: Failure): boolean =>
  isConcurrentTransactions(failure) || isCoordinatorMove(failure) || isUnsent(failure)
