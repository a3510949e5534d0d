/** Settings of topics and nodes, as far as this broker acts on them or clients look at them. */
import type { ClusterOptions } from "../cluster/Options.ts"
import type { Topic } from "../cluster/Topic.ts"

/** Kafka's numbers for where a value comes from and for its type. */
const TOPIC_CONFIG = 1
const DEFAULT_CONFIG = 5
const STATIC_BROKER_CONFIG = 4
const STRING = 2
const INT = 3
const LONG = 5
const LIST = 7

interface Setting {
  readonly name: string
  readonly value: string | null
  readonly readOnly: boolean
  readonly configSource: number
  readonly isSensitive: boolean
  readonly configType: number
}

interface Known {
  readonly type: number
  readonly value: (options: ClusterOptions) => string
  readonly isValid: (value: string) => boolean
}

const wholeNumber = (from: number) => (value: string): boolean => /^-?\d+$/.test(value) && Number(value) >= from
const oneOf = (...values: ReadonlyArray<string>) => (value: string): boolean => values.includes(value)
const fixed = (type: number, value: string, isValid: (value: string) => boolean): Known => ({
  type,
  value: () => value,
  isValid
})

const anything = (): boolean => true
const trueOrFalse = oneOf("true", "false")
const BOOLEAN = 1
const DOUBLE = 6
const NO_LIMIT = "9223372036854775807"

const known: ReadonlyMap<string, Known> = new Map([
  ["cleanup.policy", fixed(LIST, "delete", (value) => value.split(",").every(oneOf("delete", "compact")))],
  ["compression.type", fixed(STRING, "producer", oneOf("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"))],
  ["max.message.bytes", {
    type: INT,
    value: (options) => String(options.maxMessageBytes),
    isValid: wholeNumber(0)
  }],
  ["message.timestamp.type", fixed(STRING, "CreateTime", oneOf("CreateTime", "LogAppendTime"))],
  ["message.timestamp.after.max.ms", fixed(LONG, "3600000", wholeNumber(0))],
  ["message.timestamp.before.max.ms", fixed(LONG, NO_LIMIT, wholeNumber(0))],
  ["min.insync.replicas", fixed(INT, "1", wholeNumber(1))],
  ["retention.bytes", { type: LONG, value: (options) => String(options.retentionBytes), isValid: wholeNumber(-1) }],
  ["retention.ms", fixed(LONG, "604800000", wholeNumber(-1))],
  ["segment.bytes", fixed(INT, "1073741824", wholeNumber(14))],
  ["delete.retention.ms", fixed(LONG, "86400000", wholeNumber(0))],
  ["min.cleanable.dirty.ratio", fixed(DOUBLE, "0.5", (value) => Number(value) >= 0 && Number(value) <= 1)],
  ["compression.gzip.level", fixed(INT, "-1", wholeNumber(-1))],
  ["compression.lz4.level", fixed(INT, "9", wholeNumber(1))],
  ["compression.zstd.level", fixed(INT, "3", wholeNumber(-131072))],
  ["file.delete.delay.ms", fixed(LONG, "60000", wholeNumber(0))],
  ["flush.messages", fixed(LONG, NO_LIMIT, wholeNumber(1))],
  ["flush.ms", fixed(LONG, NO_LIMIT, wholeNumber(0))],
  ["follower.replication.throttled.replicas", fixed(LIST, "", anything)],
  ["index.interval.bytes", fixed(INT, "4096", wholeNumber(0))],
  ["leader.replication.throttled.replicas", fixed(LIST, "", anything)],
  ["local.retention.bytes", fixed(LONG, "-2", wholeNumber(-2))],
  ["local.retention.ms", fixed(LONG, "-2", wholeNumber(-2))],
  ["max.compaction.lag.ms", fixed(LONG, NO_LIMIT, wholeNumber(1))],
  ["min.compaction.lag.ms", fixed(LONG, "0", wholeNumber(0))],
  ["preallocate", fixed(BOOLEAN, "false", trueOrFalse)],
  ["remote.log.copy.disable", fixed(BOOLEAN, "false", trueOrFalse)],
  ["remote.log.delete.on.disable", fixed(BOOLEAN, "false", trueOrFalse)],
  ["remote.storage.enable", fixed(BOOLEAN, "false", trueOrFalse)],
  ["segment.index.bytes", fixed(INT, "10485760", wholeNumber(4))],
  ["segment.jitter.ms", fixed(LONG, "0", wholeNumber(0))],
  ["segment.ms", fixed(LONG, "604800000", wholeNumber(1))],
  ["unclean.leader.election.enable", fixed(BOOLEAN, "false", trueOrFalse)]
])

/** Why a topic cannot have this setting; `undefined` when it can. */
export const invalidSetting = (name: string, value: string | null): string | undefined => {
  const setting = known.get(name)
  if (setting === undefined) return `Unknown topic config name: ${name}`
  if (value === null) return `Null value not supported for topic configs: ${name}`
  return setting.isValid(value) ? undefined : `Invalid value ${value} for configuration ${name}`
}

export const defaultOf = (name: string, options: ClusterOptions): string | undefined => known.get(name)?.value(options)

export const topicSettings = (topic: Topic, options: ClusterOptions): Array<Setting> =>
  Array.from(known, ([name, { type, value }]) => ({
    name,
    value: topic.config.get(name) ?? value(options),
    readOnly: false,
    configSource: topic.config.has(name) ? TOPIC_CONFIG : DEFAULT_CONFIG,
    isSensitive: false,
    configType: type
  }))

export const nodeSettings = (node: number, options: ClusterOptions): Array<Setting> => {
  const setting = (name: string, value: string | number | boolean, configType: number): Setting => ({
    name,
    value: String(value),
    readOnly: true,
    configSource: STATIC_BROKER_CONFIG,
    isSensitive: false,
    configType
  })
  return [
    setting("node.id", node, INT),
    setting("auto.create.topics.enable", options.autoCreateTopics, BOOLEAN),
    setting("num.partitions", options.defaultPartitions, INT),
    setting("default.replication.factor", 1, INT),
    setting("message.max.bytes", options.maxMessageBytes, INT),
    setting("log.retention.bytes", options.retentionBytes, LONG),
    setting("transaction.max.timeout.ms", options.transactionMaxTimeout, INT),
    setting("transactional.id.expiration.ms", options.transactionalIdExpiration, INT),
    setting("producer.id.expiration.ms", options.producerIdExpiration, INT),
    setting("offsets.topic.num.partitions", options.internalPartitions, INT),
    setting("transaction.state.log.num.partitions", options.internalPartitions, INT)
  ]
}
