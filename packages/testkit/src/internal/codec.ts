/**
 * Frames to and from messages, as far as the proxy looks into them: bodies for the journal and for conditions of rules,
 * answers made up in the broker's name, and the addresses that answers carry.
 */
import { type AnyApi, Apis, Frame } from "@exactly-once/protocol"

/** What every request starts with: header versions 1 and 2 agree up to the client id. */
export interface RequestHead {
  readonly apiKey: number
  readonly version: number
  readonly correlationId: number
  readonly clientId: string | null
}

const text = new TextDecoder()

/** The head of a request payload; `undefined` when it is too short to be a request. */
export const requestHead = (payload: Uint8Array): RequestHead | undefined => {
  if (payload.length < 10) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const idLength = view.getInt16(8)
  if (10 + Math.max(idLength, 0) > payload.length) return undefined
  return {
    apiKey: view.getInt16(0),
    version: view.getInt16(2),
    correlationId: view.getInt32(4),
    clientId: idLength < 0 ? null : text.decode(payload.subarray(10, 10 + idLength))
  }
}

/** The payload with its size in front. */
export const framed = (payload: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(payload.length + 4)
  new DataView(frame.buffer).setInt32(0, payload.length)
  frame.set(payload, 4)
  return frame
}

const attempt = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    // A version the codec does not know, or bytes that are no message: nothing can be said about the body.
    return undefined
  }
}

/** The decoded body of a request; `undefined` when it cannot be read. */
export const requestBody = (payload: Uint8Array, head: RequestHead): unknown => {
  const api = Apis.byKey(head.apiKey)
  return api === undefined ? undefined : attempt(() => Frame.decodeRequest(api, payload).body)
}

/** The decoded body of a response; `undefined` when it cannot be read. */
export const responseBody = (payload: Uint8Array, head: RequestHead): unknown => {
  const api = Apis.byKey(head.apiKey)
  return api === undefined ? undefined : attempt(() => Frame.decodeResponse(api, head.version, payload).body)
}

const respond = (api: AnyApi, head: RequestHead, body: unknown): Uint8Array =>
  // `body` was decoded by this very codec, or made for it; the table of all APIs has lost the tie between the two.
  Frame.encodeResponse(api, body as never, { version: head.version, correlationId: head.correlationId }).subarray(4)

const isErrorField = (name: string) => name === "errorCode" || name === "partitionErrorCode"

const withCode = (value: unknown, code: number): unknown => {
  if (Array.isArray(value)) return value.map((element) => withCode(element, code))
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, isErrorField(name) ? code : withCode(field, code)])
  )
}

/** An answer of the rule's own making. Throws when the request cannot be read. */
export const answerInstead = (
  payload: Uint8Array,
  head: RequestHead,
  answer: (body: unknown) => unknown
): Uint8Array => {
  const api = Apis.byKey(head.apiKey)
  const body = requestBody(payload, head)
  if (api === undefined || body === undefined) throw new TypeError(`no codec for request ${head.apiKey}`)
  return respond(api, head, answer(body))
}

/** A request whose body is what `change` makes of it. Throws when the request cannot be read. */
export const rewriteRequest = (
  payload: Uint8Array,
  head: RequestHead,
  change: (body: unknown) => unknown
): Uint8Array => {
  const api = Apis.byKey(head.apiKey)
  const body = requestBody(payload, head)
  if (api === undefined || body === undefined) throw new TypeError(`no codec for request ${head.apiKey}`)
  const { clientId, correlationId, version } = head
  // As in `respond`: the rule's author answers for the body's shape, and the encoder refuses what does not fit.
  return Frame.encodeRequest(api, change(body) as never, { version, correlationId, clientId }).subarray(4)
}

/** A response whose body is what `change` makes of it. Throws when the response cannot be read. */
export const rewriteResponse = (
  payload: Uint8Array,
  head: RequestHead,
  change: (body: unknown) => unknown
): Uint8Array => {
  const api = Apis.byKey(head.apiKey)
  const body = responseBody(payload, head)
  if (api === undefined || body === undefined) throw new TypeError(`no codec for the answer of ${head.apiKey}`)
  return respond(api, head, change(body))
}

/** A response with every error code in it replaced. Throws when the response cannot be read. */
export const withError = (payload: Uint8Array, head: RequestHead, code: number): Uint8Array =>
  rewriteResponse(payload, head, (body) => withCode(body, code))
