/** The clients whose exactly-once flows are run, unmodified, against a broker. */
import { join } from "node:path"
import { source, type Toolchain, toolchains } from "./toolchains.ts"

export interface Client {
  readonly name: string
  readonly toolchain: Toolchain
  /** The program that runs one flow, given as its last argument. `built` is what `prepare` answers. */
  readonly command: (built: string) => ReadonlyArray<string>
}

const client = (
  name: string,
  toolchain: keyof typeof toolchains,
  command: (built: string) => ReadonlyArray<string>
): Client => ({ name, toolchain: toolchains[toolchain], command })

const javaClass = (built: string, name: string) => [
  "java",
  "-XX:TieredStopAtLevel=1",
  "-XX:+UseSerialGC",
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-cp",
  `${join(built, "classes")}:${join(built, "libs")}/*`,
  name
]

export const kafkajs = client(
  "kafkajs 2.2.4",
  "javascript",
  () => [process.execPath, source("javascript", "kafkajs.ts")]
)
export const platformatic = client(
  "@platformatic/kafka 2.12.1",
  "javascript",
  () => [process.execPath, source("javascript", "platformatic.ts")]
)
export const librdkafka = client(
  "librdkafka 2.16.0",
  "python",
  (built) => [join(built, "venv", "bin", "python"), source("python", "flows.py")]
)
export const java = client("Java client 4.3.1", "java", (built) => javaClass(built, "Flows"))
export const streams = client("Kafka Streams 4.3.1", "java", (built) => javaClass(built, "Counts"))
export const franzGo = client("franz-go 1.22.2", "go", (built) => [join(built, "clients")])
