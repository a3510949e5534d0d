/**
 * UUIDs are strings in the form Kafka's own tools print: 22 characters of unpadded base64url. A string is compared with `===`, serves as
 * a key of a `Map`, and holds no reference to the frame it came from; 16 raw bytes do none of these.
 */
import { UnencodableValue } from "./errors.ts"

/** The UUID that means "none", and the default of every UUID field. */
export const ZERO = "AAAAAAAAAAAAAAAAAAAAAA"

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const digits = new Uint8Array(128).fill(255)
for (let i = 0; i < 64; i++) digits[ALPHABET.charCodeAt(i)] = i
const chars = Array.from(ALPHABET)

/** Reads the 16 bytes at `at`. */
export const read = (bytes: Uint8Array, at: number): string => {
  let text = ""
  for (let i = at; i < at + 15; i += 3) {
    const triple = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    text += chars[triple >> 18]! + chars[(triple >> 12) & 63]! + chars[(triple >> 6) & 63]! + chars[triple & 63]!
  }
  const last = bytes[at + 15]!
  return text + chars[last >> 2]! + chars[(last & 3) << 4]!
}

const digitAt = (uuid: string, index: number): number => {
  const code = uuid.charCodeAt(index)
  const digit = code < 128 ? digits[code]! : 255
  if (digit === 255) throw invalid(uuid)
  return digit
}

const invalid = (uuid: string) => new UnencodableValue("uuid", `"${uuid}" is not 22 characters of base64url`)

/** Writes 16 bytes at `at`; throws `UnencodableValue` when the text is not a UUID in its one canonical spelling. */
export const write = (uuid: string, into: Uint8Array, at: number): void => {
  if (uuid.length !== 22) throw invalid(uuid)
  let out = at
  for (let i = 0; i < 20; i += 4) {
    const triple = (digitAt(uuid, i) << 18) | (digitAt(uuid, i + 1) << 12) | (digitAt(uuid, i + 2) << 6) |
      digitAt(uuid, i + 3)
    into[out++] = triple >> 16
    into[out++] = triple >> 8
    into[out++] = triple
  }
  const tail = (digitAt(uuid, 20) << 6) | digitAt(uuid, 21)
  // 22 characters hold 132 bits; the last four must be zero, or two spellings would name one UUID and `===` would lie.
  if ((tail & 15) !== 0) throw invalid(uuid)
  into[out] = tail >> 4
}

/** A UUID from 16 bytes. */
export const fromBytes = (bytes: Uint8Array): string => {
  if (bytes.length !== 16) throw new UnencodableValue("uuid", `${bytes.length} bytes, not 16`)
  return read(bytes, 0)
}

/** The 16 bytes of a UUID. */
export const toBytes = (uuid: string): Uint8Array => {
  const bytes = new Uint8Array(16)
  write(uuid, bytes, 0)
  return bytes
}

/** A UUID from its 32 hexadecimal digits, with or without dashes. */
export const fromHex = (hex: string): string => {
  const plain = hex.replaceAll("-", "")
  if (!/^[0-9a-fA-F]{32}$/.test(plain)) throw new UnencodableValue("uuid", `"${hex}" is not 32 hexadecimal digits`)
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 16; i++) bytes[i] = Number.parseInt(plain.slice(2 * i, 2 * i + 2), 16)
  return read(bytes, 0)
}
