import { addPartitions } from "./addPartitions.ts"
import { admin, topics } from "./admin.ts"
import { batches } from "./batches.ts"
import { classicGroups } from "./classicGroups.ts"
import { consumerGroups } from "./consumerGroups.ts"
import { ending } from "./ending.ts"
import { endTxn } from "./endTxn.ts"
import { exhaustion } from "./exhaustion.ts"
import { fetch, listOffsets } from "./fetch.ts"
import { idempotence } from "./idempotence.ts"
import { initProducerId } from "./initProducerId.ts"
import { aborting, fenced, timedOut } from "./lostControl.ts"
import { offsetPairs, txnOffsets } from "./offsets.ts"
import { transactionalProduce } from "./transactionalProduce.ts"
import { transactionsTest } from "./transactionsTest.ts"
import { walks } from "./walks.ts"
import { wire } from "./wire.ts"

export const cases = [
  ...idempotence,
  ...batches,
  ...initProducerId,
  ...endTxn,
  ...addPartitions,
  ...transactionalProduce,
  ...timedOut,
  ...fenced,
  ...fetch,
  ...listOffsets,
  ...txnOffsets,
  ...offsetPairs,
  ...classicGroups,
  ...consumerGroups,
  ...admin,
  ...topics,
  ...wire,
  ...transactionsTest,
  ...walks,
  ...exhaustion,
  ...ending,
  ...aborting
]
