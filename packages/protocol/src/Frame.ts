/**
 * Frames as they travel: a big-endian int32 size, a header, a body. Requests and responses are built here in one buffer with their size
 * in front, and taken apart from the payload that `FrameSplitter` hands out.
 */
import { type AnyApi, type Api, requestHeaderVersion, responseHeaderVersion } from "./Api.ts"
import { MalformedBytes } from "./errors.ts"
import * as RequestHeader from "./generated/RequestHeader.ts"
import * as ResponseHeader from "./generated/ResponseHeader.ts"
import { Reader } from "./Reader.ts"
import { Writer } from "./Writer.ts"

/** Kafka's `socket.request.max.bytes`. */
export const DEFAULT_MAX_FRAME_SIZE = 104_857_600

// Requests come from anyone: a frame within its limit may still name very many empty strings, each of which costs more in memory.
const MAX_REQUEST_ELEMENTS = 1_000_000

const int32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

/** The first eight bytes of every request, which have one form in all versions of all APIs. */
export interface RequestPreamble {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
}

/** Reads the key, version and correlation id of a request payload: enough to refuse what cannot be read further. */
export const requestPreamble = (payload: Uint8Array): RequestPreamble => {
  if (payload.length < 8) throw new MalformedBytes("Truncated", 0, `a request of ${payload.length} bytes`)
  return {
    apiKey: (payload[0]! << 24 >> 16) | payload[1]!,
    apiVersion: (payload[2]! << 24 >> 16) | payload[3]!,
    correlationId: int32(payload, 4)
  }
}

/** The header of a request payload, and the reader placed at its body. */
export interface RequestParts {
  readonly header: RequestHeader.RequestHeader
  readonly reader: Reader
}

/** Reads the header of a request payload for an API whose key the preamble showed. */
export const openRequest = (api: AnyApi, payload: Uint8Array): RequestParts => {
  const version = requestPreamble(payload).apiVersion
  const reader = new Reader(payload, 0, payload.length, MAX_REQUEST_ELEMENTS)
  return { header: RequestHeader.decode(reader, requestHeaderVersion(api, version)), reader }
}

/** Reads a request body to its end. */
export const decodeRequest = <A>(api: Api<A, never, unknown, never>, payload: Uint8Array): {
  readonly header: RequestHeader.RequestHeader
  readonly body: A
} => {
  const { header, reader } = openRequest(api, payload)
  const body = api.request.decode(reader, header.requestApiVersion)
  reader.expectEnd()
  return { header, body }
}

/** Reads a response payload for a request that was sent in `version`. */
export const decodeResponse = <A>(api: Api<unknown, never, A, never>, version: number, payload: Uint8Array): {
  readonly header: ResponseHeader.ResponseHeader
  readonly body: A
} => {
  const reader = new Reader(payload)
  const header = ResponseHeader.decode(reader, responseHeaderVersion(api, version))
  const body = api.response.decode(reader, version)
  reader.expectEnd()
  return { header, body }
}

/** The correlation id of a response payload: its first four bytes in every header version. */
export const correlationId = (payload: Uint8Array): number => {
  if (payload.length < 4) throw new MalformedBytes("Truncated", 0, `a response of ${payload.length} bytes`)
  return int32(payload, 0)
}

export interface RequestOptions {
  readonly version: number
  readonly correlationId: number
  readonly clientId: string | null
  /** A guess at the body's size, to grow the buffer once. */
  readonly sizeHint?: number | undefined
}

/** A whole request frame, its size in front. */
export const encodeRequest = <I>(
  api: Api<unknown, I, unknown, never>,
  body: I,
  options: RequestOptions
): Uint8Array => {
  const writer = new Writer(options.sizeHint ?? 512)
  writer.int32(0)
  RequestHeader.encode(writer, {
    requestApiKey: api.key,
    requestApiVersion: options.version,
    correlationId: options.correlationId,
    clientId: options.clientId
  }, requestHeaderVersion(api, options.version))
  api.request.encode(writer, body, options.version)
  writer.patchInt32(0, writer.offset - 4)
  return writer.finish()
}

export interface ResponseOptions {
  readonly version: number
  readonly correlationId: number
  /** A guess at the body's size, to grow the buffer once. */
  readonly sizeHint?: number | undefined
}

/** A whole response frame, its size in front. */
export const encodeResponse = <I>(
  api: Api<unknown, never, unknown, I>,
  body: I,
  options: ResponseOptions
): Uint8Array => {
  const writer = new Writer(options.sizeHint ?? 512)
  writer.int32(0)
  ResponseHeader.encode(writer, { correlationId: options.correlationId }, responseHeaderVersion(api, options.version))
  api.response.encode(writer, body, options.version)
  writer.patchInt32(0, writer.offset - 4)
  return writer.finish()
}

/**
 * Cuts a byte stream into payloads (without their sizes). A payload that arrived in one chunk is a view of that chunk; one that spans
 * chunks is assembled once, in a buffer of its exact size. That buffer is only as large as what has arrived until half of the
 * payload is there, so a peer that announces a huge frame and sends nothing holds no memory.
 */
export class FrameSplitter {
  private readonly maxFrameSize: number
  private readonly sizeBytes = new Uint8Array(4)
  private sizeFilled = 0
  /** The size of the payload being assembled; -1 while its size is still incomplete. */
  private expected = -1
  private partial = new Uint8Array(0)
  private filled = 0

  constructor(maxFrameSize = DEFAULT_MAX_FRAME_SIZE) {
    this.maxFrameSize = maxFrameSize
  }

  /** Bytes held for a frame that is not complete. */
  get pending(): number {
    return this.expected === -1 ? this.sizeFilled : 4 + this.filled
  }

  /** Takes the next bytes and answers the payloads they complete. Throws `MalformedBytes` on a size that is negative or too large; the stream cannot be read further then. */
  push(chunk: Uint8Array): Array<Uint8Array> {
    const frames: Array<Uint8Array> = []
    let at = 0
    while (at < chunk.length || this.expected === 0) {
      if (this.expected === -1) {
        at = this.readSize(chunk, at)
        continue
      }
      const wanted = this.expected - this.filled
      const available = chunk.length - at
      if (this.filled === 0 && available >= wanted) {
        frames.push(chunk.subarray(at, at + wanted))
        at += wanted
        this.expected = -1
        continue
      }
      const taken = Math.min(wanted, available)
      this.makeRoom(taken)
      this.partial.set(chunk.subarray(at, at + taken), this.filled)
      this.filled += taken
      at += taken
      if (this.filled === this.expected) {
        frames.push(this.partial.length === this.expected ? this.partial : this.partial.slice(0, this.expected))
        this.partial = new Uint8Array(0)
        this.filled = 0
        this.expected = -1
      }
    }
    return frames
  }

  private makeRoom(more: number): void {
    const needed = this.filled + more
    if (needed <= this.partial.length) return
    const next = new Uint8Array(2 * needed >= this.expected ? this.expected : 2 * needed)
    next.set(this.partial.subarray(0, this.filled))
    this.partial = next
  }

  private readSize(chunk: Uint8Array, start: number): number {
    let at = start
    while (at < chunk.length && this.sizeFilled < 4) this.sizeBytes[this.sizeFilled++] = chunk[at++]!
    if (this.sizeFilled < 4) return at
    const size = int32(this.sizeBytes, 0)
    if (size < 0) throw new MalformedBytes("NegativeLength", start, `a frame of ${size} bytes`)
    if (size > this.maxFrameSize) {
      throw new MalformedBytes(
        "LengthTooLarge",
        start,
        `a frame of ${size} bytes, at most ${this.maxFrameSize} are allowed`
      )
    }
    this.sizeFilled = 0
    this.expected = size
    return at
  }
}
