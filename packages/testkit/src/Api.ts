/**
 * Kafka's requests by name, and by the keys they have on the wire.
 */
import { Apis } from "@exactly-once/protocol"

/** A request's name in Kafka's protocol guide. */
export type ApiName = keyof typeof Apis.all

/** The key of a request named or numbered. */
export const keyOf = (api: ApiName | number): number => typeof api === "number" ? api : Apis.all[api].key

/** The name of a key; the number as text for a request that is not known. */
export const nameOf = (key: number): string => Apis.byKey(key)?.name ?? `${key}`
