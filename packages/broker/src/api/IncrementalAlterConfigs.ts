/**
 * IncrementalAlterConfigs: v0-1
 *
 * Behaviour
 * - Sets (0), deletes (1), appends to (2) or subtracts from (3) settings of topics (KIP-339). Nodes have none that can be changed.
 */
import { Apis, type IncrementalAlterConfigsRequest } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"
import { defaultOf, invalidSetting } from "./settings.ts"

type Resource = IncrementalAlterConfigsRequest.AlterConfigsResource

const TOPIC = 2
const SET = 0
const DELETE = 1
const APPEND = 2
const SUBTRACT = 3

const answer = ({ resourceName, resourceType }: Resource, errorCode: number, errorMessage: string | null) => ({
  errorCode,
  errorMessage,
  resourceType,
  resourceName
})

const alter = (resource: Resource, validateOnly: boolean, { cluster }: RequestContext) => {
  if (resource.resourceType !== TOPIC) return answer(resource, Code.INVALID_REQUEST, "Only topics can be altered")
  const topic = cluster.topics.get(resource.resourceName)
  if (topic === undefined) return answer(resource, Code.UNKNOWN_TOPIC_OR_PARTITION, "There is no such topic")
  const config = new Map(topic.config)
  for (const { configOperation, name, value } of resource.configs) {
    const listed = (config.get(name) ?? defaultOf(name, cluster.options) ?? "").split(",").filter((it) => it !== "")
    const items = (value ?? "").split(",")
    const next = configOperation === SET || configOperation === DELETE
      ? value
      : configOperation === APPEND
      ? [...new Set([...listed, ...items])].join(",")
      : configOperation === SUBTRACT
      ? listed.filter((it) => !items.includes(it)).join(",")
      : undefined
    if (next === undefined) return answer(resource, Code.INVALID_REQUEST, `Operation ${configOperation}`)
    const invalid = invalidSetting(name, configOperation === DELETE ? defaultOf(name, cluster.options) ?? null : next)
    if (invalid !== undefined) return answer(resource, Code.INVALID_CONFIG, invalid)
    if (configOperation === DELETE) config.delete(name)
    else config.set(name, next ?? "")
  }
  if (!validateOnly) {
    topic.config.clear()
    for (const [name, value] of config) topic.config.set(name, value)
  }
  return answer(resource, Code.NONE, null)
}

export const IncrementalAlterConfigs = serve(Apis.IncrementalAlterConfigs, {
  handle: (request, context, reply) =>
    reply({
      throttleTimeMs: 0,
      responses: request.resources.map((it) => alter(it, request.validateOnly, context))
    }),
  refuse: (request, error) => ({
    throttleTimeMs: 0,
    responses: request.resources.map((it) => answer(it, error, null))
  })
})
