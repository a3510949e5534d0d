/**
 * What kafkajs 2.2.4 does by itself, and what this driver does in the same place. Where the plain client can be shown
 * failing, the test shows it first: should it pass there one day, its remedy has become idle. docs/hazards.md lists them.
 */
import { budgets } from "./budgets.ts"
import { encoding } from "./encoding.ts"
import { owning } from "./owning.ts"
import { platformatic } from "./platformatic.ts"
import { producing } from "./producing.ts"
import { reading } from "./reading.ts"
import { sending } from "./sending.ts"
import type { Cluster } from "./support.ts"

export const hazards = (cluster: Cluster) => {
  sending(cluster)
  producing(cluster)
  owning(cluster)
  reading(cluster)
  budgets(cluster)
  platformatic(cluster)
  encoding(cluster)
}
