import { addPartitions } from "./addPartitions.ts"
import { admin } from "./admin.ts"
import { batches } from "./batches.ts"
import { classicGroups } from "./classicGroups.ts"
import { classicOffsets } from "./classicOffsets.ts"
import { consumerGroups } from "./consumerGroups.ts"
import { ending } from "./ending.ts"
import { endTxn } from "./endTxn.ts"
import { exhaustion } from "./exhaustion.ts"
import { fetch, listOffsets } from "./fetch.ts"
import { fetchSessions } from "./fetchSessions.ts"
import { idempotence } from "./idempotence.ts"
import { initProducerId } from "./initProducerId.ts"
import { aborting, fenced, timedOut } from "./lostControl.ts"
import { offsetPairs, txnOffsets } from "./offsets.ts"
import { topics } from "./topics.ts"
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
  ...fetchSessions,
  ...listOffsets,
  ...txnOffsets,
  ...offsetPairs,
  ...classicGroups,
  ...classicOffsets,
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
