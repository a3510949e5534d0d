/**
 * DescribeCluster: v0-2
 *
 * Behaviour
 * - The nodes, all of them alive, and the cluster's id.
 *
 * Versions
 * - v1 brokers (1) or controllers (2): there are no controllers to talk to; v2 fenced brokers.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

const UNSUPPORTED_ENDPOINT_TYPE = 115

export const DescribeCluster = serve(Apis.DescribeCluster, {
  handle: (request, { cluster, nodes, version }, reply) => {
    const { clusterId } = cluster.options
    if (version >= 1 && request.endpointType !== 1) {
      const errorMessage = `This node serves brokers, not endpoints of type ${request.endpointType}`
      return reply({ throttleTimeMs: 0, errorCode: UNSUPPORTED_ENDPOINT_TYPE, errorMessage, clusterId, brokers: [] })
    }
    reply({
      throttleTimeMs: 0,
      errorCode: Code.NONE,
      clusterId,
      controllerId: nodes[0]?.id ?? -1,
      brokers: nodes.map(({ host, id, port }) => ({ brokerId: id, host, port }))
    })
  },
  refuse: (_request, errorCode, { cluster }) => ({
    throttleTimeMs: 0,
    errorCode,
    clusterId: cluster.options.clusterId,
    brokers: []
  })
})
