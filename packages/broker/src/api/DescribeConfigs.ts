/**
 * DescribeConfigs: v1-4
 *
 * Behaviour
 * - The settings of topics (type 2) and nodes (type 4) that mean something here.
 *
 * Versions
 * - v3 types and documentation, which this broker has none of.
 */
import { Apis, type DescribeConfigsRequest } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"
import { nodeSettings, topicSettings } from "./settings.ts"

const TOPIC = 2
const BROKER = 4

const failed = (
  { resourceName, resourceType }: DescribeConfigsRequest.DescribeConfigsResource,
  errorCode: number,
  errorMessage: string | null
) => ({ errorCode, errorMessage, resourceType, resourceName, configs: [] })

const describe = (asked: DescribeConfigsRequest.DescribeConfigsResource, { cluster, nodes }: RequestContext) => {
  const { configurationKeys, resourceName, resourceType } = asked
  const wanted = (name: string) =>
    configurationKeys === null || configurationKeys.length === 0 || configurationKeys.includes(name)
  if (resourceType === TOPIC) {
    const topic = cluster.topics.get(resourceName)
    if (topic === undefined) return failed(asked, Code.UNKNOWN_TOPIC_OR_PARTITION, "There is no such topic")
    const configs = topicSettings(topic, cluster.options).filter(({ name }) => wanted(name))
    return { errorCode: Code.NONE, errorMessage: null, resourceType, resourceName, configs }
  }
  if (resourceType !== BROKER) return failed(asked, Code.INVALID_REQUEST, `Unsupported resource type ${resourceType}`)
  if (resourceName !== "" && !nodes.some(({ id }) => String(id) === resourceName)) {
    return failed(asked, Code.INVALID_REQUEST, `There is no node ${resourceName}`)
  }
  const configs = nodeSettings(Number(resourceName), cluster.options).filter(({ name }) => wanted(name))
  return { errorCode: Code.NONE, errorMessage: null, resourceType, resourceName, configs }
}

export const DescribeConfigs = serve(Apis.DescribeConfigs, {
  handle: (request, context, reply) =>
    reply({ throttleTimeMs: 0, results: request.resources.map((it) => describe(it, context)) }),
  refuse: (request, error) => ({
    throttleTimeMs: 0,
    results: request.resources.map((it) => failed(it, error, null))
  })
})
