import type { Partition } from "../cluster/Topic.ts"
import * as Code from "../errorCodes.ts"

/** Judges the leader epoch a client believes in (KIP-320): an older one is fenced, a newer one is not known here; -1 asks for no check. */
export const leaderEpochError = (partition: Partition, epoch: number): number => {
  if (epoch < 0 || epoch === partition.leaderEpoch) return Code.NONE
  return epoch < partition.leaderEpoch ? Code.FENCED_LEADER_EPOCH : Code.UNKNOWN_LEADER_EPOCH
}
