/**
 * Apache Kafka in KRaft mode on the JVM of this machine: one node, or three that are broker and controller each. Nodes
 * are numbered from 1. See `npm run kafka` for the command, and `scripts/vitest/kafkaGlobalSetup.ts` for the tests' use.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { classArchive, keep, sharedClasses } from "./kafkaClassArchive.ts"
import { home, jars, java } from "./kafkaJars.ts"
import { awaitReady } from "./kafkaProbe.ts"
import { formatProperties, type Listener, type NodeAddress, serverProperties } from "./kafkaProperties.ts"
import { freePort, isFree } from "./ports.ts"
import { commandLine, end, launch, runs } from "./processes.ts"

export { MissingTool } from "./kafkaJars.ts"
export type { Listener } from "./kafkaProperties.ts"

export interface ScramUser {
  readonly name: string
  readonly password: string
  readonly mechanism?: "SCRAM-SHA-256" | "SCRAM-SHA-512"
}

export interface ClusterOptions {
  /** 1 unless given. With 3, topics and internal topics have three replicas of which two must be in sync. */
  readonly brokers?: 1 | 3
  /** The finalized `transaction.version`, 2 unless given. Fixed when the data folder is formatted. */
  readonly transactionVersion?: 1 | 2
  /** Node i listens on port + i - 1. Free ports unless given. */
  readonly port?: number
  /** Listeners beside the plain one, for instance with TLS or SASL. The plain one stays, and is a super user's. */
  readonly listeners?: ReadonlyArray<Listener>
  /** Kafka's own authorizer, with ACLs in the metadata log. The plain listener may do everything. */
  readonly authorizer?: boolean
  /** Users that exist from the start. */
  readonly scram?: ReadonlyArray<ScramUser>
  /** Server properties; they have the last word. */
  readonly properties?: Readonly<Record<string, string>>
  /** `test` (default): small, starts fast, short sessions. `bench`: Kafka's defaults and 1 GiB of heap. */
  readonly profile?: "test" | "bench"
  /** A named cluster keeps its data under .kafka/<name>, and outlives this process unless `outlives` is false. */
  readonly name?: string
  readonly outlives?: boolean
}

export interface Cluster {
  /** host:port of each node's plain listener, by commas. */
  readonly bootstrap: string
  /** The same for each further listener, by its name. */
  readonly listeners: Readonly<Record<string, string>>
  readonly transactionVersion: 1 | 2
  /** Configuration, logs (node-1.log ...) and data. */
  readonly directory: string
  /** The pids of the nodes that run. */
  readonly pids: ReadonlyArray<number>
  /** Throws when the node does not run. */
  readonly brokerPid: (id: number) => number
  /** kill -9; resolves when the process is gone. */
  readonly killBroker: (id: number) => Promise<void>
  /** Starts the node again with its data, after a graceful stop where it still runs; resolves when it answers. */
  readonly restartBroker: (id: number) => Promise<void>
  /** Ends every node. What an unnamed cluster has written is deleted, and its nodes are given no time to tidy up. */
  readonly stop: () => Promise<void>
}

/** What is kept about a cluster, so that another process can stop it or join in. */
interface ClusterRecord {
  readonly transactionVersion: 1 | 2
  readonly profile: "test" | "bench"
  readonly named: boolean
  readonly outlives: boolean
  readonly nodes: ReadonlyArray<NodeAddress>
  readonly pids: Record<number, number>
  /** By node: the class archive that it leaves when it ends in good order. */
  readonly recordings: Record<number, string>
}

const recordFile = (directory: string) => join(directory, "cluster.json")
const configFile = (directory: string, id: number) => join(directory, `node-${id}.properties`)
const logFile = (directory: string, id: number) => join(directory, `node-${id}.log`)

/** The end of a broker's command line, by which its pid is recognised. */
const mark = (directory: string, id: number) => `kafka.Kafka ${configFile(directory, id)}`

const save = (directory: string, record: ClusterRecord) =>
  writeFileSync(recordFile(directory), JSON.stringify(record, undefined, 2))

const heap = {
  test: ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
  bench: ["-Xmx1g"]
}

const startLine = "--- started"

/** What a node's last start has to say about its end. */
const complaint = (log: string): string => {
  const text = existsSync(log) ? readFileSync(log, "utf8") : ""
  const lines = text.slice(text.lastIndexOf(startLine)).split("\n").slice(1).filter((line) => line !== "")
  const found = [/ERROR|FATAL/, /Exception: /].flatMap((pattern) => lines.find((line) => pattern.test(line)) ?? [])
  return (found.length > 0 ? [...new Set(found)].join("; ") : lines.at(-1) ?? "no output").slice(0, 800)
}

const format = async (
  directory: string,
  id: number,
  options: { readonly clusterId: string; readonly transactionVersion: 1 | 2; readonly scram: ReadonlyArray<ScramUser> }
): Promise<void> => {
  const libs = await jars()
  const users = options.scram.flatMap(({ mechanism = "SCRAM-SHA-256", name, password }) => [
    "--add-scram",
    `${mechanism}=[name=${name},password=${password}]`
  ])
  const child = spawn(
    java().command,
    [
      "-XX:TieredStopAtLevel=1",
      "-XX:+UseSerialGC",
      ...sharedClasses(libs, java().version),
      "-cp",
      join(libs, "*"),
      "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
      "kafka.tools.StorageTool",
      "format",
      `--cluster-id=${options.clusterId}`,
      `--config=${configFile(directory, id)}`,
      "--feature",
      `transaction.version=${options.transactionVersion}`,
      ...users
    ],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  let output = ""
  child.stdout.on("data", (chunk) => output += String(chunk))
  child.stderr.on("data", (chunk) => output += String(chunk))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", resolve)
  })
  if (code !== 0) throw new Error(`formatting node ${id} failed:\n${output.trim()}`)
}

const launchNode = async (directory: string, record: ClusterRecord, node: NodeAddress): Promise<void> => {
  const libs = await jars()
  appendFileSync(logFile(directory, node.id), `${startLine} ${new Date().toISOString()}\n`)
  const { command, version } = java()
  const archive = record.profile === "test" ? classArchive(libs, version) : undefined
  if (archive?.recording !== undefined) record.recordings[node.id] = archive.recording
  record.pids[node.id] = await launch(
    command,
    [
      ...heap[record.profile],
      ...archive?.flags ?? [],
      "-cp",
      join(libs, "*"),
      `-Dorg.slf4j.simpleLogger.defaultLogLevel=${process.env["KAFKA_LOG"] ?? "warn"}`,
      "kafka.Kafka",
      configFile(directory, node.id)
    ],
    { log: logFile(directory, node.id), outlives: record.outlives }
  )
  save(directory, record)
}

const awaitNode = async (
  directory: string,
  record: ClusterRecord,
  node: NodeAddress,
  brokers: number
): Promise<void> => {
  const pid = record.pids[node.id] ?? 0
  const alive = () => runs(pid, mark(directory, node.id))
  const ready = await awaitReady({ host: "127.0.0.1", port: node.port, brokers }, { timeoutMs: 90_000, alive })
  if (ready) return
  const log = logFile(directory, node.id)
  throw new Error(`Kafka node ${node.id} ${alive() ? "does not answer" : "ended"} (${log}): ${complaint(log)}`)
}

const running = (directory: string, record: ClusterRecord, id: number) =>
  runs(record.pids[id] ?? 0, mark(directory, id))

const handle = (directory: string, record: ClusterRecord): Cluster => {
  const nodeOf = (id: number): NodeAddress => {
    const node = record.nodes.find((candidate) => candidate.id === id)
    if (node === undefined) throw new Error(`no node ${id} among ${record.nodes.map((other) => other.id).join(", ")}`)
    return node
  }
  const stopNode = async (id: number, graceMs: number) => {
    await end(record.pids[id] ?? 0, mark(directory, id), graceMs)
    const recording = record.recordings[id]
    if (recording !== undefined) keep(recording)
    delete record.recordings[id]
  }
  const names = Object.keys(record.nodes[0]?.extra ?? {})
  return {
    bootstrap: record.nodes.map(({ port }) => `127.0.0.1:${port}`).join(","),
    listeners: Object.fromEntries(
      names.map((name) => [name, record.nodes.map(({ extra }) => `127.0.0.1:${extra[name]}`).join(",")])
    ),
    transactionVersion: record.transactionVersion,
    directory,
    get pids() {
      return record.nodes.filter(({ id }) => running(directory, record, id)).map(({ id }) => record.pids[id] ?? 0)
    },
    brokerPid: (id) => {
      const pid = record.pids[nodeOf(id).id]
      if (pid === undefined || !running(directory, record, id)) throw new Error(`node ${id} does not run`)
      return pid
    },
    killBroker: (id) => stopNode(nodeOf(id).id, 0),
    restartBroker: async (id) => {
      const node = nodeOf(id)
      await stopNode(id, 30_000)
      await launchNode(directory, record, node)
      const brokers = record.nodes.filter((other) => running(directory, record, other.id)).length
      await awaitNode(directory, record, node, brokers)
    },
    stop: async () => {
      const recording = record.nodes.filter(({ id }) => id in record.recordings)
      for (const { id } of recording) await stopNode(id, 30_000)
      await Promise.all(record.nodes.map(({ id }) => stopNode(id, record.named ? 30_000 : 0)))
      if (!record.named) rmSync(directory, { recursive: true, force: true })
    }
  }
}

const readRecord = (directory: string): ClusterRecord | undefined =>
  existsSync(recordFile(directory)) ? JSON.parse(readFileSync(recordFile(directory), "utf8")) : undefined

const isUp = (directory: string, record: ClusterRecord | undefined): record is ClusterRecord =>
  record !== undefined && record.nodes.some(({ id }) => running(directory, record, id))

/** The named clusters that run, by name. */
export const runningClusters = (): ReadonlyMap<string, Cluster> => {
  const found = new Map<string, Cluster>()
  for (const name of existsSync(home) ? readdirSync(home) : []) {
    const directory = join(home, name)
    const record = readRecord(directory)
    if (record?.named === true && isUp(directory, record)) found.set(name, handle(directory, record))
  }
  return found
}

const unnamed = /^test-(\d+)-/

/** What a test run that was killed could not delete. */
const sweep = () => {
  for (const name of existsSync(home) ? readdirSync(home) : []) {
    const owner = unnamed.exec(name)?.[1]
    if (owner === undefined || commandLine(Number(owner)) !== "") continue
    const directory = join(home, name)
    if (!isUp(directory, readRecord(directory))) rmSync(directory, { recursive: true, force: true })
  }
}

let unnamedClusters = 0

const allot = async (options: ClusterOptions): Promise<ReadonlyArray<NodeAddress>> => {
  const brokers = options.brokers ?? 1
  const nodes: Array<NodeAddress> = []
  for (let id = 1; id <= brokers; id++) {
    const port = options.port === undefined ? await freePort() : options.port + id - 1
    if (!await isFree(port)) throw new Error(`port ${port} is taken by another program`)
    const extra: Record<string, number> = {}
    for (const { name } of options.listeners ?? []) extra[name] = await freePort()
    nodes.push({ id, port, controllerPort: await freePort(), extra })
  }
  return nodes
}

const startOnce = async (options: ClusterOptions): Promise<Cluster> => {
  const { profile = "test", transactionVersion = 2 } = options
  const named = options.name !== undefined
  sweep()
  java()
  await jars()
  const directory = join(home, options.name ?? `test-${process.pid}-${++unnamedClusters}`)
  mkdirSync(directory, { recursive: true })
  const nodes = await allot(options)
  const record: ClusterRecord = {
    transactionVersion,
    profile,
    named,
    outlives: options.outlives ?? named,
    nodes,
    pids: {},
    recordings: {}
  }
  // A layout of its own each: what a cluster of one node and version 2 has written is of no use to three, or to version 1.
  const data = join(directory, `data-${nodes.length}x-v${transactionVersion}`)
  for (const node of nodes) {
    const properties = serverProperties({
      node,
      nodes,
      dataDirectory: join(data, `node-${node.id}`),
      profile,
      listeners: options.listeners ?? [],
      authorizer: options.authorizer ?? false,
      properties: options.properties ?? {}
    })
    writeFileSync(configFile(directory, node.id), formatProperties(properties), { mode: 0o600 })
  }
  const cluster = handle(directory, record)
  try {
    if (!nodes.every(({ id }) => existsSync(join(data, `node-${id}`, "meta.properties")))) {
      rmSync(data, { recursive: true, force: true })
      // A leading "c" keeps the id from being read as an option.
      const clusterId = `c${randomBytes(16).toString("base64url").slice(1)}`
      await Promise.all(
        nodes.map(({ id }) => format(directory, id, { clusterId, transactionVersion, scram: options.scram ?? [] }))
      )
    }
    for (const node of nodes) await launchNode(directory, record, node)
    await Promise.all(nodes.map((node) => awaitNode(directory, record, node, nodes.length)))
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return cluster
}

const PORT_TAKEN = /already in use|BindException/

/**
 * Starts a cluster and waits until every node answers and the coordinators of groups and transactions have leaders.
 * Throws `MissingTool` where there is no JDK, or no Maven to fetch Kafka with.
 */
export const startCluster = async (options: ClusterOptions = {}): Promise<Cluster> => {
  for (let attempt = 1;; attempt++) {
    try {
      return await startOnce(options)
    } catch (error) {
      // Another program took a free port before the broker bound it: others are chosen.
      if (options.port !== undefined || attempt === 3 || !PORT_TAKEN.test(String(error))) throw error
    }
  }
}
