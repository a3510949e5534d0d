/**
 * SaslHandshake: v0-1
 *
 * Behaviour
 * - Chooses a mechanism; 33 and the list of those offered for another one, 34 where authentication is not asked for.
 *
 * Versions
 * - v0 is followed by bare tokens instead of SaslAuthenticate.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

export const SaslHandshake = serve(Apis.SaslHandshake, {
  handle: (request, { connection, credentials, version }, reply) => {
    if (credentials === undefined || connection.session.principal !== undefined) {
      return reply({ errorCode: Code.ILLEGAL_SASL_STATE, mechanisms: [] })
    }
    const exchange = credentials.begin(request.mechanism)
    if (exchange === undefined) {
      return reply({ errorCode: Code.UNSUPPORTED_SASL_MECHANISM, mechanisms: credentials.mechanisms })
    }
    connection.session.exchange = exchange
    connection.session.bareTokens = version === 0
    reply({ errorCode: Code.NONE, mechanisms: credentials.mechanisms })
  },
  refuse: (_request, errorCode) => ({ errorCode, mechanisms: [] })
})
