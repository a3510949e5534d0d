import * as Code from "../errorCodes.ts"

/** Clients of older versions do not know PRODUCER_FENCED; they are told of an invalid epoch (KIP-588). */
export const fencedError = (error: number, knowsFenced: boolean): number =>
  error === Code.PRODUCER_FENCED && !knowsFenced ? Code.INVALID_PRODUCER_EPOCH : error
