/** What the members of a consumer group subscribe to, in terms of the topics there are. */
import type { ConsumerGroup, ConsumerMember } from "./ConsumerGroup.ts"
import { GroupError } from "./consumerValidation.ts"
import { INVALID_REGULAR_EXPRESSION } from "./errorCodes.ts"
import type { GroupEnvironment } from "./GroupEnvironment.ts"

/** Look-around and back references, which JavaScript has and RE2 has not. */
const NOT_RE2 = /\(\?<?[=!]|\\[1-9]/

/** A pattern that must match a whole topic name. Kafka's are RE2; what both languages know means the same in them. */
export const compilePattern = (pattern: string): RegExp => {
  const invalid = (reason: string): GroupError =>
    new GroupError(
      INVALID_REGULAR_EXPRESSION,
      `SubscribedTopicRegex \`${pattern}\` is not a valid regular expression: ${reason}.`
    )
  if (NOT_RE2.test(pattern)) throw invalid("invalid or unsupported Perl syntax")
  try {
    return new RegExp(`^(?:${pattern})$`)
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error))
  }
}

/** Looks up the topics that each pattern of the group stands for. */
export const resolvePatterns = (environment: GroupEnvironment, group: ConsumerGroup): void => {
  for (const { regex } of group.members.values()) if (regex !== "") group.resolved.set(regex, [])
  if (group.resolved.size === 0) return
  const patterns = Array.from(group.resolved.keys(), (regex) => ({ regex, compiled: compilePattern(regex) }))
  const matches = new Map<string, Array<string>>(patterns.map(({ regex }) => [regex, []]))
  for (const topic of environment.topics()) {
    for (const { compiled, regex } of patterns) if (compiled.test(topic)) matches.get(regex)!.push(topic)
  }
  for (const [regex, topics] of matches) group.resolved.set(regex, topics.sort())
}

/** The ids of the topics that a member subscribes to, of those that exist. */
export const subscribedTopicIds = (
  environment: GroupEnvironment,
  group: ConsumerGroup,
  member: ConsumerMember
): ReadonlySet<string> => {
  const ids = new Set<string>()
  for (const topic of group.topicsOf(member)) {
    const id = environment.topicId(topic)
    if (id !== undefined) ids.add(id)
  }
  return ids
}

/** Equal as long as neither the subscribed topics nor their partitions are others. */
export const subscriptionHash = (environment: GroupEnvironment, group: ConsumerGroup): string => {
  const topics = new Set<string>()
  for (const member of group.members.values()) for (const topic of group.topicsOf(member)) topics.add(topic)
  let hash = ""
  for (const topic of [...topics].sort()) {
    const id = environment.topicId(topic)
    if (id !== undefined) hash += `${id}=${environment.partitions(topic)};`
  }
  return hash
}
