/** Requests that no codec would write: of unknown APIs and versions, or with too little in them. */

/** A frame of `size + 8` bytes: the key, version and correlation id of a request, and then zeros. */
export const frameOf = (apiKey: number, apiVersion: number, correlationId = 1_000, size = 32) => {
  const frame = new Uint8Array(4 + 8 + size)
  const view = new DataView(frame.buffer)
  view.setInt32(0, frame.length - 4)
  view.setInt16(4, apiKey)
  view.setInt16(6, apiVersion)
  view.setInt32(8, correlationId)
  return { correlationId, frame }
}
