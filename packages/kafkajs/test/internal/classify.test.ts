import { assert, describe, it } from "@effect/vitest"
import { ErrorCode } from "@exactly-once/core"
import { createRequire } from "node:module"
import { answered, type Failure, toDriverError, unanswered } from "../../src/internal/classify.ts"

type Make = new(message: string | Error, options?: object) => Error

// the error classes of the client itself, some of them not exported by its entry point
const errors = createRequire(import.meta.url)("kafkajs/src/errors.js") as Record<string, Make>

const error = (name: string, message: string | Error, options: object = {}): Error => {
  const Class = errors[name]
  if (Class === undefined) throw new Error(`kafkajs has no ${name}`)
  return new Class(message, options)
}

const classOf = (failure: Failure, kind: "read" | "write" = "write") => toDriverError("op", failure, kind).failure

const closed = error("KafkaJSConnectionClosedError", "Closed connection", { host: "h", port: 1 })
const timedOut = error("KafkaJSRequestTimeoutError", "Request EndTxn timed out")
const refused = error("KafkaJSConnectionError", "Connection error: connect ECONNREFUSED", { code: "ECONNREFUSED" })

describe("what a failure means", () => {
  it("a request that was sent and not answered has an unknown outcome, if it could change anything", () => {
    for (
      const cause of [closed, timedOut, error("KafkaJSConnectionError", "read ECONNRESET", { code: "ECONNRESET" })]
    ) {
      assert.strictEqual(classOf(unanswered("EndTxn", true, cause)), "UnknownOutcome")
      assert.strictEqual(classOf(unanswered("OffsetFetch", true, cause), "read"), "Unavailable")
    }
  })

  it("a request that was certainly not sent changed nothing, whatever the error", () => {
    for (const cause of [closed, timedOut, refused, error("KafkaJSLockTimeout", "Timeout while acquiring lock")]) {
      assert.strictEqual(classOf(unanswered("EndTxn", false, cause)), "Unavailable")
    }
  })

  it("refused credentials are known at any depth of the causes", () => {
    const cause = error("KafkaJSSASLAuthenticationError", "SASL PLAIN authentication failed")
    assert.strictEqual(classOf(unanswered("Connect", false, cause)), "Unauthorized")
    const wrapped = error("KafkaJSNonRetriableError", cause, { cause })
    const again = error("KafkaJSNumberOfRetriesExceeded", wrapped, { retryCount: 1, retryTime: 1 })
    assert.strictEqual(classOf(unanswered("Connect", false, again)), "Unauthorized")
    const unsupported = error(
      "KafkaJSProtocolError",
      Object.assign(new Error("no such mechanism"), { type: "UNSUPPORTED_SASL_MECHANISM", code: 33 })
    )
    assert.strictEqual(classOf(unanswered("Connect", false, unsupported)), "Unauthorized")
  })

  it("a certificate that is not trusted is a setting", () => {
    const codes = [
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "INVALID_CA",
      "ERR_TLS_CERT_ALTNAME_INVALID"
    ]
    for (const code of codes) {
      const cause = error("KafkaJSConnectionError", "a certificate", { code })
      const found = toDriverError("connect", unanswered("Connect", false, cause), "read")
      assert.deepStrictEqual([found.failure, found.setting], ["Misconfigured", "ssl"], code)
      assert.include(found.message, "ssl options")
    }
  })

  it("a connection that TLS ended after a request was sent leaves its outcome unknown", () => {
    const cause = error("KafkaJSConnectionError", "decryption failed or bad record mac", {
      code: "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    })
    assert.strictEqual(classOf(unanswered("EndTxn", true, cause)), "UnknownOutcome")
    assert.strictEqual(classOf(unanswered("OffsetFetch", true, cause), "read"), "Unavailable")
  })

  it("a refused right names its operation and its resource", () => {
    const told = (failure: Failure) => toDriverError("op", failure, "write").message
    assert.include(told(answered("AddPartitionsToTxn", 29, { topic: "t", partition: 0 })), "Write on this topic")
    assert.include(told(answered("TxnOffsetCommit", 29, { topic: "t", partition: 0 })), "Read on this topic")
    assert.include(told(answered("Metadata", 29, { topic: "t" })), "topic t: the principal needs Describe")
    assert.include(
      told(answered("JoinGroup", 30, { resource: "group \"g\"" })),
      "for group \"g\": the principal needs Read"
    )
  })

  it("a code means what the table says, and says where", () => {
    for (const { code, failure } of ErrorCode.byCode.values()) {
      assert.strictEqual(classOf(answered("EndTxn", code)), failure, ErrorCode.format(code))
    }
    const found = toDriverError("send", answered("Produce", 29, { topic: "t", partition: 3 }), "write")
    assert.deepStrictEqual([found.code, found.topic, found.partition], [29, "t", 3])
    assert.include(found.message, "29 TOPIC_AUTHORIZATION_FAILED for topic t-3")
  })

  it("fencing is one class, whichever of its codes a broker answers", () => {
    for (const code of [47, 48, 49, 90]) assert.strictEqual(classOf(answered("EndTxn", code)), "Fenced")
  })

  it("a server error to a question left nothing behind", () => {
    assert.strictEqual(classOf(answered("ListOffsets", -1), "read"), "Unavailable")
    assert.strictEqual(classOf(answered("EndTxn", -1)), "UnknownOutcome")
  })
})
