/**
 * FindCoordinator: v0-6
 *
 * Behaviour
 * - Names the node that coordinates a group (type 0) or a transactional id (type 1). The first question creates the internal topic, and
 *   with it the coordinators: before it, requests to a coordinator are answered with 16.
 *
 * Versions
 * - v1 types and an error message; v4 several keys; v6 share groups, which this broker does not have.
 */
import { Apis, type FindCoordinatorResponse } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { nodeOf } from "./leaders.ts"
import { type RequestContext, serve } from "./Served.ts"

const GROUP = 0
const TRANSACTION = 1

const failed = (key: string, errorCode: number, errorMessage: string | null) => ({
  key,
  nodeId: -1,
  host: "",
  port: -1,
  errorCode,
  errorMessage
})

const find = (key: string, type: number, context: RequestContext): FindCoordinatorResponse.CoordinatorInput => {
  const { cluster } = context
  if (type !== GROUP && type !== TRANSACTION) {
    return failed(key, Code.INVALID_REQUEST, `There are no coordinators of type ${type}`)
  }
  const id = type === GROUP ? cluster.findGroupCoordinator(key) : cluster.findTransactionCoordinator(key)
  const { host, port } = nodeOf(context, id)
  return { key, nodeId: id, host, port, errorCode: Code.NONE, errorMessage: "" }
}

export const FindCoordinator = serve(Apis.FindCoordinator, {
  handle: (request, context, reply) => {
    if (context.version >= 4) {
      return reply({ coordinators: request.coordinatorKeys.map((key) => find(key, request.keyType, context)) })
    }
    const { errorCode, errorMessage, host, nodeId, port } = find(request.key, request.keyType, context)
    const message = errorMessage === "" && errorCode === Code.NONE ? "NONE" : errorMessage
    reply({ errorCode, errorMessage: message, host, nodeId, port })
  },
  refuse: (request, error, context) => {
    if (context.version >= 4) {
      return { coordinators: request.coordinatorKeys.map((key) => failed(key, error, null)) }
    }
    return { errorCode: error, nodeId: -1, host: "", port: -1 }
  }
})
