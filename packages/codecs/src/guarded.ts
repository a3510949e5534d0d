import { MalformedBytes } from "@exactly-once/protocol"

/** Runs a library's decompression; whatever it throws becomes the protocol's own error. */
export const guarded = <A>(name: string, run: () => A): A => {
  try {
    return run()
  } catch (error) {
    if (error instanceof MalformedBytes) throw error
    throw new MalformedBytes(
      "InvalidCompression",
      0,
      `${name}: ${error instanceof Error ? error.message : String(error)}`
    )
  }
}

/** A codec whose library is absent on this platform. */
export class CodecUnavailable extends Error {
  readonly _tag = "CodecUnavailable"
  override readonly name = "CodecUnavailable"
  readonly library: string
  constructor(library: string) {
    super(`${library} is not installed, or has no binary for this platform`)
    this.library = library
  }
}
