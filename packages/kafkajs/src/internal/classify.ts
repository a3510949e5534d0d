/**
 * What a failed exchange with a broker means. Three facts decide: the broker's code, if it answered; whether the request
 * can have left this process; and whether it could have changed anything.
 */
import { Driver, ErrorCode } from "@exactly-once/core"

/** A failed exchange. `sent` is false only when no byte of the request can have reached a broker. */
export interface Failure {
  readonly _tag: "Failure"
  readonly api: string
  readonly sent: boolean
  readonly code?: number | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  /** What is not a topic and was refused, as a person names it: `group "g"`. */
  readonly resource?: string | undefined
  readonly cause?: unknown
}

export interface Where {
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  readonly resource?: string | undefined
}

export const answered = (api: string, code: number, where: Where = {}): Failure => ({
  _tag: "Failure",
  api,
  sent: true,
  code,
  ...where
})

export const unanswered = (api: string, sent: boolean, cause: unknown): Failure => ({
  _tag: "Failure",
  api,
  sent,
  cause
})

const chain = function*(error: unknown): Generator<Error> {
  let current = error
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    yield current
    current = current.cause
  }
}

const named = (error: unknown, ...names: ReadonlyArray<string>): boolean => {
  for (const link of chain(error)) if (names.includes(link.name)) return true
  return false
}

const field = (error: unknown, name: "code" | "type"): unknown => {
  for (const link of chain(error)) {
    const value: unknown = Reflect.get(link, name)
    if (value !== undefined) return value
  }
  return undefined
}

const isAuthentication = (error: unknown): boolean =>
  named(error, "KafkaJSSASLAuthenticationError") ||
  ["SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"].includes(
    String(field(error, "type"))
  )

/** Codes of OpenSSL's certificate check, and of Node's TLS. */
const certificate =
  /CERT|CRL|SSL|TLS|UNABLE_TO_VERIFY|UNABLE_TO_DECODE|^INVALID_(CA|PURPOSE)$|PATH_LENGTH|HOSTNAME_MISMATCH/

const isCertificate = (error: unknown): boolean => certificate.test(String(field(error, "code") ?? ""))

/** The other side ended the connection before it said anything. */
export const wasHungUp = ({ cause }: Failure): boolean =>
  named(cause, "KafkaJSConnectionClosedError") || field(cause, "code") === "ECONNRESET"

const text = (error: unknown): string => error instanceof Error ? error.message : String(error)

const hints: Readonly<Record<number, string>> = {
  2: "a batch did not match its checksum",
  3: "the topic or partition does not exist; create it, it is never created by this client",
  10: "the record is larger than the topic's max.message.bytes",
  12: "the offset's metadata is longer than the broker's offset.metadata.max.bytes",
  18: "the batch is larger than the topic's segment.bytes",
  26: "the session timeout is outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
  23: "other members of this group use another assignor: give this application a group of its own",
  30: "the principal needs Read on this group",
  31: "the principal needs IdempotentWrite on the cluster",
  50: "the transaction timeout is larger than the broker's transaction.max.timeout.ms",
  53: "the principal needs Write on this transactional.id",
  76: "the broker does not accept this compression type",
  87: "the broker refused the record (a compacted topic takes no null key)"
}

/** What a refused request would have needed on its topic. */
const topicRights: Readonly<Record<string, string>> = {
  Produce: "Write",
  AddPartitionsToTxn: "Write",
  Fetch: "Read",
  TxnOffsetCommit: "Read"
}

const hintOf = ({ api }: Failure, code: number): string | undefined =>
  code === 29
    ? `the principal needs ${topicRights[api] ?? "Describe (which Read and Write include)"} on this topic`
    : hints[code]

/** The description of a code: its name, the place, and what a person can do about it. */
const describe = (failure: Failure, code: number): string => {
  const place = failure.resource !== undefined
    ? ` for ${failure.resource}`
    : failure.topic === undefined
    ? ""
    : ` for topic ${failure.topic}${failure.partition === undefined ? "" : `-${failure.partition}`}`
  const hint = hintOf(failure, code)
  return `${failure.api} was answered with ${ErrorCode.format(code)}${place}${hint === undefined ? "" : `: ${hint}`}`
}

const classOf = (failure: Failure, kind: "read" | "write"): Driver.FailureClass => {
  if (failure.code !== undefined) {
    const { failure: found } = ErrorCode.of(failure.code)
    return kind === "read" && found === "UnknownOutcome" ? "Unavailable" : found
  }
  // Once a request is out, how its connection ended says nothing about what became of it.
  if (failure.sent) return kind === "write" ? "UnknownOutcome" : "Unavailable"
  if (isAuthentication(failure.cause)) return "Unauthorized"
  return isCertificate(failure.cause) ? "Misconfigured" : "Unavailable"
}

const advice = (failureClass: Driver.FailureClass, failure: Failure): string => {
  const { api, resource, sent } = failure
  const request = resource === undefined ? api : `${api} to ${resource}`
  const why = text(failure.cause)
  switch (failureClass) {
    case "Unauthorized":
      return `${request} was refused while authenticating: ${why}; check the sasl options`
    case "Misconfigured":
      return `${request} was given up in TLS: ${why}; check the ssl options`
    case "UnknownOutcome":
      return `${request} was sent and not answered: ${why}`
    default:
      return sent
        ? `${request} was not answered: ${why}`
        : `${request} ${api === "Connect" ? "failed" : "could not be sent"}: ${why}`
  }
}

/** `read`: the request changes nothing, so that a lost answer is only a missing one. */
export const toDriverError = (
  operation: string,
  failure: Failure,
  kind: "read" | "write"
): Driver.DriverError => {
  const failureClass = classOf(failure, kind)
  return new Driver.DriverError({
    operation,
    failure: failureClass,
    description: failure.code === undefined ? advice(failureClass, failure) : describe(failure, failure.code),
    ...(failure.code === undefined ? {} : { code: failure.code }),
    ...(failure.code === undefined && failureClass === "Misconfigured" ? { setting: "ssl" } : {}),
    ...(failure.topic === undefined ? {} : { topic: failure.topic }),
    ...(failure.partition === undefined ? {} : { partition: failure.partition }),
    ...(failure.cause === undefined ? {} : { cause: failure.cause })
  })
}

/** Whether the broker said that leaders or coordinators have to be looked up again. */
export const wantsRefresh = (failure: Failure): boolean =>
  failure.code === undefined || ErrorCode.of(failure.code).refresh

/** Codes of a coordinator that is not ready, or elsewhere: the request had no effect on it. */
export const isCoordinatorMove = (failure: Failure): boolean =>
  failure.code === 14 || failure.code === 15 || failure.code === 16

export const isConcurrentTransactions = (failure: Failure): boolean => failure.code === 51
