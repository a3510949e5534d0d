import { readdirSync, readFileSync } from "node:fs"

/** One request or response as it went over the wire between a client and Kafka 4.3.1, without its size. */
export interface CapturedFrame {
  readonly client: string
  readonly direction: "request" | "response"
  readonly apiKey: number
  readonly version: number
  readonly payload: Uint8Array
}

const folder = new URL("frames/", import.meta.url)

export const capturedFrames: ReadonlyArray<CapturedFrame> = readdirSync(folder).flatMap((file) =>
  readFileSync(new URL(file, folder), "utf8").trim().split("\n").map((line) => {
    const { d, h, k, v } = JSON.parse(line) as { d: "q" | "r"; k: number; v: number; h: string }
    return {
      client: file.replace(".jsonl", ""),
      direction: d === "q" ? "request" as const : "response" as const,
      apiKey: k,
      version: v,
      payload: new Uint8Array(Buffer.from(h, "hex"))
    }
  })
)

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")
