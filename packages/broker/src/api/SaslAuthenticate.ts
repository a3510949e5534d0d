/**
 * SaslAuthenticate: v0-2
 *
 * Behaviour
 * - One step of the exchange. After a failure (58) the connection is closed, once the answer is out.
 *
 * Versions
 * - v1 the session's lifetime: 0, there is no need to authenticate again.
 */
import { Apis } from "@exactly-once/protocol"
import * as Code from "../errorCodes.ts"
import { serve } from "./Served.ts"

const failed = (errorCode: number, errorMessage: string) => ({ errorCode, errorMessage, authBytes: new Uint8Array(0) })

export const SaslAuthenticate = serve(Apis.SaslAuthenticate, {
  handle: (request, { connection }, reply) => {
    const { session } = connection
    const { exchange } = session
    if (exchange === undefined) {
      return reply(failed(Code.ILLEGAL_SASL_STATE, "SaslAuthenticate without a SaslHandshake before it"))
    }
    const step = exchange(request.authBytes)
    if ("error" in step) {
      session.exchange = undefined
      reply(failed(Code.SASL_AUTHENTICATION_FAILED, step.error))
      return connection.finish()
    }
    if (step.principal !== undefined) {
      session.principal = step.principal
      session.exchange = undefined
    }
    reply({ errorCode: Code.NONE, errorMessage: null, authBytes: step.token })
  },
  refuse: (_request, error) => failed(error, "")
})
