/**
 * ApiVersions: v0-4
 *
 * Behaviour
 * - What this broker serves, and the finalized features: by `transaction.version` clients choose how they run transactions. A version above
 *   4 is answered before it gets here, with error 35 in the form of version 0.
 *
 * Versions
 * - v3 the client says who it is, features; its response header never has tagged fields. v4 a supported feature may start at 0.
 */
import { Apis, type ApiVersionsRequest } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { type RequestContext, serve } from "./Served.ts"

const SOFTWARE = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

const isValid = (request: ApiVersionsRequest.ApiVersionsRequest, version: number): boolean =>
  version < 3 || (SOFTWARE.test(request.clientSoftwareName) && SOFTWARE.test(request.clientSoftwareVersion))

const features = ({ cluster, version }: RequestContext) => {
  const supported = [
    { name: "group.version", minVersion: 0, maxVersion: 1 },
    { name: "transaction.version", minVersion: 0, maxVersion: 2 }
  ]
  const finalized = [{ name: "group.version", minVersionLevel: 1, maxVersionLevel: 1 }]
  const level = cluster.options.transactionVersion
  return {
    // Clients of version 3 cannot read a range that starts at 0 (KAFKA-17011).
    supportedFeatures: version >= 4 ? supported : [],
    finalizedFeaturesEpoch: 1n,
    finalizedFeatures: level === 0
      ? finalized
      : [...finalized, { name: "transaction.version", minVersionLevel: level, maxVersionLevel: level }]
  }
}

export const ApiVersions = serve(Apis.ApiVersions, {
  handle: (request, context, reply) => {
    if (!isValid(request, context.version)) return reply({ errorCode: Code.INVALID_REQUEST, apiKeys: [] })
    const apiKeys = context.served.map(({ advertisedFrom, key, maxVersion }) => ({
      apiKey: key,
      minVersion: advertisedFrom,
      maxVersion
    }))
    reply({ errorCode: Code.NONE, apiKeys, ...features(context) })
  },
  refuse: (_request, errorCode) => ({ errorCode, apiKeys: [] })
})
