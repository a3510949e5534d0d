/**
 * Where answers name brokers, the proxy names itself: Metadata, FindCoordinator, DescribeCluster, and the leaders that
 * Produce and Fetch hint at (KIP-951).
 */
import { type Api, Apis, Frame } from "@exactly-once/protocol"
import type { RequestHead } from "./codec.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

/** The proxy's address for a broker's own. */
export type Reroute = (address: Address) => Promise<Address>

type Rewrite = (payload: Uint8Array, head: RequestHead, reroute: Reroute) => Promise<Uint8Array>

const rerouted = async <A extends Address>(reroute: Reroute, brokers: ReadonlyArray<A>): Promise<Array<A>> => {
  const result: Array<A> = []
  for (const broker of brokers) {
    // An unknown coordinator or leader has no address.
    result.push(broker.port <= 0 ? broker : { ...broker, ...(await reroute({ host: broker.host, port: broker.port })) })
  }
  return result
}

const rewrite = <Response>(
  api: Api<unknown, never, Response, Response>,
  change: (response: Response, reroute: Reroute) => Promise<Response>
): readonly [number, Rewrite] => [
  api.key,
  async (payload, head, reroute) => {
    const before = Frame.decodeResponse(api, head.version, payload).body
    const after = await change(before, reroute)
    if (after === before) return payload
    const options = { version: head.version, correlationId: head.correlationId, sizeHint: payload.length + 256 }
    return Frame.encodeResponse(api, after, options).subarray(4)
  }
]

const table: ReadonlyMap<number, Rewrite> = new Map([
  rewrite(Apis.Metadata, async (response, reroute) => ({
    ...response,
    brokers: await rerouted(reroute, response.brokers)
  })),
  rewrite(Apis.DescribeCluster, async (response, reroute) => ({
    ...response,
    brokers: await rerouted(reroute, response.brokers)
  })),
  rewrite(Apis.FindCoordinator, async (response, reroute) => {
    const [single] = await rerouted(reroute, [{ host: response.host, port: response.port }])
    return { ...response, ...single, coordinators: await rerouted(reroute, response.coordinators) }
  }),
  rewrite(Apis.Produce, async (response, reroute) =>
    response.nodeEndpoints.length === 0
      ? response
      : { ...response, nodeEndpoints: await rerouted(reroute, response.nodeEndpoints) }),
  rewrite(Apis.Fetch, async (response, reroute) =>
    response.nodeEndpoints.length === 0
      ? response
      : { ...response, nodeEndpoints: await rerouted(reroute, response.nodeEndpoints) })
])

/** Before these versions Produce and Fetch answers name no brokers, and need not be taken apart. */
const firstWithAddresses: Readonly<Record<number, number>> = { [Apis.Produce.key]: 10, [Apis.Fetch.key]: 16 }

/** A response payload in which every broker is reached through `reroute`. */
export const rewriteAddresses: Rewrite = async (payload, head, reroute) => {
  const change = table.get(head.apiKey)
  return change === undefined || head.version < (firstWithAddresses[head.apiKey] ?? 0)
    ? payload
    : change(payload, head, reroute)
}
