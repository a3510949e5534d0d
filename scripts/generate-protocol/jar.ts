import { readFileSync } from "node:fs"
import { inflateRawSync } from "node:zlib"

/** The entries of a zip archive whose names pass `select`, as text. Enough of the format for a jar: stored or deflated, no zip64. */
export const readArchive = (path: string, select: (name: string) => boolean): Map<string, string> => {
  const bytes = readFileSync(path)
  let end = bytes.length - 22
  while (end >= 0 && bytes.readUInt32LE(end) !== 0x06054b50) end--
  if (end < 0) throw new Error(`${path} is not a zip archive`)
  const count = bytes.readUInt16LE(end + 10)
  let at = bytes.readUInt32LE(end + 16)
  const entries = new Map<string, string>()
  for (let i = 0; i < count; i++) {
    const method = bytes.readUInt16LE(at + 10)
    const size = bytes.readUInt32LE(at + 20)
    const nameLength = bytes.readUInt16LE(at + 28)
    const name = bytes.toString("utf8", at + 46, at + 46 + nameLength)
    if (select(name)) {
      const local = bytes.readUInt32LE(at + 42)
      const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
      const data = bytes.subarray(start, start + size)
      entries.set(name, (method === 0 ? data : inflateRawSync(data)).toString("utf8"))
    }
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32)
  }
  return entries
}
