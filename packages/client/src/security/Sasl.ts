/**
 * SASL on a fresh connection (KIP-152): a handshake that names the mechanism, then the mechanism's own messages. PLAIN, and
 * SCRAM (RFC 5802) with the server's signature checked, so that a server that does not know the password is found out.
 * The one file with cryptography.
 */
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto"
import type { Connection } from "../network/Connection.ts"
import { answered, type Failure, Refused, unanswered } from "../network/failure.ts"
import { type Authenticate, exchange } from "../network/open.ts"

export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

/** Far beyond what brokers are set to (4096 to 16384): more would only keep this process busy. */
const maxIterations = 1_000_000

const untrusted = (why: string): Failure =>
  unanswered("SaslAuthenticate", false, new Refused("Unauthorized", `authentication was given up: ${why}`, "sasl"))

const handshake = (connection: Connection, mechanism: string, timeoutMs: number): Effect.Effect<void, Failure> =>
  exchange<{ readonly errorCode: number; readonly mechanisms: ReadonlyArray<string> }>((onAnswer, onFailure) =>
    connection.requestIn(1, Apis.SaslHandshake, { mechanism }, { timeoutMs }, onAnswer, onFailure)
  ).pipe(
    Effect.flatMap(({ errorCode, mechanisms }) => {
      if (errorCode === 0) return Effect.void
      const why = `the broker knows no ${mechanism}, but ${mechanisms.join(", ") || "no mechanism at all"}`
      return Effect.fail(errorCode === 33 ? untrusted(why) : answered("SaslHandshake", errorCode))
    })
  )

interface Reply {
  readonly bytes: Buffer
  readonly lifetimeMs: number
}

const authenticate = (connection: Connection, message: string, timeoutMs: number): Effect.Effect<Reply, Failure> =>
  exchange<{
    readonly errorCode: number
    readonly errorMessage: string | null
    readonly authBytes: Uint8Array
    readonly sessionLifetimeMs: bigint
  }>((onAnswer, onFailure) =>
    connection.requestIn(
      Math.min(connection.versions.get(Apis.SaslAuthenticate.key)?.max ?? 0, Apis.SaslAuthenticate.maxVersion),
      Apis.SaslAuthenticate,
      { authBytes: Buffer.from(message) },
      { timeoutMs },
      onAnswer,
      onFailure
    )
  ).pipe(
    Effect.flatMap(({ authBytes, errorCode, sessionLifetimeMs }) =>
      errorCode === 0
        ? Effect.succeed({ bytes: Buffer.from(authBytes), lifetimeMs: Number(sessionLifetimeMs) })
        : Effect.fail(answered("SaslAuthenticate", errorCode))
    )
  )

/** A SCRAM message's attributes: one letter, an equals sign, a value. */
const attributes = (message: string): ReadonlyMap<string, string> =>
  new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]))

const derive = (password: string, salt: Buffer, iterations: number, hash: string): Effect.Effect<Buffer, Failure> =>
  Effect.callback((resume) => {
    pbkdf2(
      password,
      salt,
      iterations,
      hash === "sha256" ? 32 : 64,
      hash,
      (error, key) => resume(error === null ? Effect.succeed(key) : Effect.fail(untrusted(error.message)))
    )
  })

const scram = (
  connection: Connection,
  { mechanism, password, username }: Sasl,
  timeoutMs: number
): Effect.Effect<Reply, Failure> =>
  Effect.gen(function*() {
    const hash = mechanism === "scram-sha-256" ? "sha256" : "sha512"
    const hmac = (key: Buffer, message: string) => createHmac(hash, key).update(message).digest()
    const nonce = randomBytes(24).toString("base64url")
    const name = username.normalize("NFKC").replaceAll("=", "=3D").replaceAll(",", "=2C")
    const clientFirst = `n=${name},r=${nonce}`
    const serverFirst = (yield* authenticate(connection, `n,,${clientFirst}`, timeoutMs)).bytes.toString("utf8")
    const challenge = attributes(serverFirst)
    const serverNonce = challenge.get("r") ?? ""
    const iterations = Number(challenge.get("i"))
    if (!serverNonce.startsWith(nonce) || serverNonce.length === nonce.length) {
      return yield* Effect.fail(untrusted("the server did not answer to our challenge"))
    }
    if (!Number.isInteger(iterations) || iterations < 4096 || iterations > maxIterations) {
      return yield* Effect.fail(untrusted(`the server asks for ${challenge.get("i")} iterations`))
    }
    const salt = Buffer.from(challenge.get("s") ?? "", "base64")
    const salted = yield* derive(Redacted.value(password).normalize("NFKC"), salt, iterations, hash)
    const withoutProof = `c=biws,r=${serverNonce}`
    const signed = `${clientFirst},${serverFirst},${withoutProof}`
    const clientKey = hmac(salted, "Client Key")
    const signature = hmac(createHash(hash).update(clientKey).digest(), signed)
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))
    const final = `${withoutProof},p=${Buffer.from(proof).toString("base64")}`
    const reply = yield* authenticate(connection, final, timeoutMs)
    const claimed = Buffer.from(attributes(reply.bytes.toString("utf8")).get("v") ?? "", "base64")
    const expected = hmac(hmac(salted, "Server Key"), signed)
    if (claimed.length !== expected.length || !timingSafeEqual(claimed, expected)) {
      return yield* Effect.fail(untrusted("the server does not know the password"))
    }
    return reply
  })

/** Answers how long the broker lets the connection live, in milliseconds; 0 for as long as it likes. */
export const makeSasl = (sasl: Sasl, timeoutMs: number): Authenticate => (connection) =>
  handshake(connection, sasl.mechanism.toUpperCase(), timeoutMs).pipe(
    Effect.andThen(
      sasl.mechanism === "plain"
        ? authenticate(connection, `\0${sasl.username}\0${Redacted.value(sasl.password)}`, timeoutMs)
        : scram(connection, sasl, timeoutMs)
    ),
    Effect.map(({ lifetimeMs }) => lifetimeMs)
  )
