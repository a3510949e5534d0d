/** Who may log in, and the server's side of SASL PLAIN and SCRAM (RFC 4616, RFC 5802). */
import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto"

export type Mechanism = "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512"

export interface SaslOptions {
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>
  /** All three when left out. */
  readonly mechanisms?: ReadonlyArray<Mechanism> | undefined
}

/** One step of an exchange: the next token, with the user once it is over; or why it failed. */
export type Step =
  | { readonly error: string }
  | { readonly token: Uint8Array; readonly principal?: string }

export type Exchange = (token: Uint8Array) => Step

const EMPTY = new Uint8Array(0)
const ITERATIONS = 4096
const ALL: ReadonlyArray<Mechanism> = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

const text = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

/** `a=1,b=2` as a map; a value may contain the equals sign. */
const attributes = (message: string): Map<string, string> =>
  new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]))

export class Credentials {
  readonly mechanisms: ReadonlyArray<Mechanism>
  private readonly users: ReadonlyMap<string, string>
  private readonly randomBytes: () => Uint8Array

  constructor(options: SaslOptions, randomBytes: () => Uint8Array) {
    this.mechanisms = options.mechanisms ?? ALL
    this.users = new Map(Object.entries(options.users))
    this.randomBytes = randomBytes
  }

  /** Begins an exchange; `undefined` for a mechanism that is not offered. */
  begin(mechanism: string): Exchange | undefined {
    const offered = this.mechanisms.find((it) => it === mechanism)
    if (offered === undefined) return undefined
    return offered === "PLAIN"
      ? (token) => this.plain(token)
      : this.scram(offered === "SCRAM-SHA-256" ? "sha256" : "sha512")
  }

  private plain(token: Uint8Array): Step {
    const [authorization, user, password, ...rest] = text(token).split("\0")
    if (user === undefined || password === undefined || rest.length > 0) return { error: "Malformed PLAIN token" }
    const known = this.users.get(user)
    if (known === undefined || !same(Buffer.from(known), Buffer.from(password))) {
      return { error: "Authentication failed: Invalid username or password" }
    }
    if (authorization !== "" && authorization !== user) {
      return { error: "Authentication failed: Client requested an authorization id that is different from username" }
    }
    return { token: EMPTY, principal: user }
  }

  private scram(hash: "sha256" | "sha512"): Exchange {
    const failed: Step = {
      error: "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM"
    }
    const hmac = (key: Uint8Array, data: string) => createHmac(hash, key).update(data).digest()
    let proceed: Exchange = (first) => {
      const message = text(first)
      const bare = /^[ny],(?:a=[^,]*)?,(.*)$/s.exec(message)?.[1]
      if (bare === undefined) return { error: "Malformed SCRAM client-first-message" }
      const given = attributes(bare)
      const user = (given.get("n") ?? "").replaceAll("=2C", ",").replaceAll("=3D", "=")
      const clientNonce = given.get("r") ?? ""
      const password = this.users.get(user)
      if (password === undefined || clientNonce === "") return failed
      const salt = this.randomBytes()
      const nonce = clientNonce + Buffer.from(this.randomBytes()).toString("base64url")
      const answer = `r=${nonce},s=${Buffer.from(salt).toString("base64")},i=${ITERATIONS}`
      const salted = pbkdf2Sync(password, salt, ITERATIONS, hash === "sha256" ? 32 : 64, hash)
      proceed = (final) => {
        const last = text(final)
        const sent = attributes(last)
        if (sent.get("r") !== nonce) return failed
        const auth = `${bare},${answer},${last.slice(0, last.lastIndexOf(",p="))}`
        const stored = createHash(hash).update(hmac(salted, "Client Key")).digest()
        const signature = hmac(stored, auth)
        const key = Buffer.from(sent.get("p") ?? "", "base64").map((byte, i) => byte ^ (signature[i] ?? 0))
        if (!same(createHash(hash).update(key).digest(), stored)) return failed
        const proof = hmac(hmac(salted, "Server Key"), auth).toString("base64")
        return { token: Buffer.from(`v=${proof}`), principal: user }
      }
      return { token: Buffer.from(answer) }
    }
    return (token) => proceed(token)
  }
}
