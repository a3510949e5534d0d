import { addPartitions } from "./addPartitions.ts"
import { batches } from "./batches.ts"
import { endTxn } from "./endTxn.ts"
import { idempotence } from "./idempotence.ts"
import { initProducerId } from "./initProducerId.ts"
import { ending } from "./ending.ts"
import { aborting, fenced, timedOut } from "./lostControl.ts"
import { transactionalProduce } from "./transactionalProduce.ts"

export const cases = [
  ...idempotence,
  ...batches,
  ...initProducerId,
  ...endTxn,
  ...addPartitions,
  ...transactionalProduce,
  ...timedOut,
  ...fenced,
  ...ending,
  ...aborting
]
