// The two text globals every runtime has; declared here because this package depends on no runtime's types.
declare const TextDecoder: new(
  label: string,
  options: { readonly ignoreBOM: boolean }
) => { decode(bytes: Uint8Array): string }
declare const TextEncoder: new() => {
  encodeInto(text: string, into: Uint8Array): { readonly read: number; readonly written: number }
}

// A byte order mark is content here: a topic or a group may start with one, and must come back the same.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

// Below this many bytes a loop beats the call into the runtime's decoder.
const SHORT = 24

export const decodeUtf8 = (bytes: Uint8Array, start: number, end: number): string => {
  if (end - start <= SHORT) {
    let text = ""
    let at = start
    while (at < end) {
      const byte = bytes[at]!
      if (byte > 127) break
      text += String.fromCharCode(byte)
      at++
    }
    if (at === end) return text
  }
  return decoder.decode(bytes.subarray(start, end))
}

/** Bytes that `text` takes as UTF-8; a lone surrogate counts as the three bytes of U+FFFD. */
export const utf8Length = (text: string): number => {
  let size = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) {
      size += 1
      continue
    }
    size += 2
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length) {
      const next = text.charCodeAt(i + 1)
      // A pair is two units and four bytes: the two units already counted, and the two added above.
      if (next >= 0xdc00 && next < 0xe000) i++
    }
  }
  return size
}

/** Writes `text` at `at` and answers the position after it. The caller has made room: `3 * text.length` bytes suffice. */
export const encodeUtf8 = (text: string, into: Uint8Array, at: number): number => {
  const length = text.length
  if (length > 96) return at + encoder.encodeInto(text, into.subarray(at)).written
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 127) return at + i + encoder.encodeInto(text.slice(i), into.subarray(at + i)).written
    into[at + i] = unit
  }
  return at + length
}
