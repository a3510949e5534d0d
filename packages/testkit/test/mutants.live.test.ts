import { Contract } from "@exactly-once/testkit"
import { Effect, Exit } from "effect"
import { assert, it } from "vitest"
import { describeLive } from "../../../scripts/vitest/live.ts"
import * as Mutants from "./mutants/mutants.ts"
import { kafkajs } from "./support/kafkajs.ts"
import { realKafka } from "./support/live.ts"

const healthy = kafkajs("real Kafka", realKafka)

/** A mutant, and the case that must find it. */
const found: ReadonlyArray<readonly [name: string, mutant: Mutants.Mutant, rule: Contract.Rule, part: string]> = [
  ["neitherFencesNorLoses", Mutants.neitherFencesNorLoses, "R1", "lost and processed elsewhere"],
  ["takesUnknownForCommitted", Mutants.takesUnknownForCommitted, "Port", "whichever single request"],
  ["stopsAtTheLastRecord", Mutants.stopsAtTheLastRecord, "R2", "passes control records"],
  ["swallowsSendFailures", Mutants.swallowsSendFailures, "R3", "a refused record poisons"],
  ["swallowsSendFailures", Mutants.swallowsSendFailures, "R3", "whose answer is lost poisons"],
  ["takesUnknownForAborted", Mutants.takesUnknownForAborted, "R4", "was applied and not answered is found"],
  ["takesUnknownForCommitted", Mutants.takesUnknownForCommitted, "R4", "never arrived"],
  ["believesEveryOffset", Mutants.believesEveryOffset, "R4", "somebody else reached"],
  ["neverRewinds", Mutants.neverRewinds, "R5", "goes on from the committed offset"],
  ["forgetsLost", Mutants.forgetsLost, "R6", "nothing waits for the body"],
  ["losesWhatIsRevoked", Mutants.losesWhatIsRevoked, "R7", "commits before its partition moves"],
  ["neverHandsBack", Mutants.neverHandsBack, "R8", "block nobody"],
  ["confirmsWithoutAsking", Mutants.confirmsWithoutAsking, "R9", "a thawed zombie"],
  ["losesTheTail", Mutants.losesTheTail, "R10", "concurrent emits"],
  ["asksAgainSlowly", Mutants.asksAgainSlowly, "R12", "is asked again soon"],
  ["cutsTheTimeout", Mutants.cutsTheTimeout, "R14", "above the broker's maximum"],
  ["commitsBehindOnesBack", Mutants.commitsBehindOnesBack, "R15", "and not before"],
  ["namesNoReplica", Mutants.namesNoReplica, "R16", "the older stops"],
  ["readsUncommitted", Mutants.readsUncommitted, "R18", "reading is read_committed"],
  ["registersBeforeAborting", Mutants.registersBeforeAborting, "R19", "harmless"],
  ["leaksAborted", Mutants.leaksAborted, "R21", "many ranges in one fetch"],
  ["leaksAborted", Mutants.leaksAborted, "R21", "in another fetch"],
  ["fencesNobody", Mutants.fencesNobody, "R22", "late commit is refused"],
  ["fetchesBeforeInit", Mutants.fetchesBeforeInit, "R22", "in the middle of a takeover"],
  ["keepsItsEpoch", Mutants.keepsItsEpoch, "R23", "Produce that arrives late"],
  ["keepsItsEpoch", Mutants.keepsItsEpoch, "R23", "EndTxn that arrives late"],
  ["inventsTopics", Mutants.inventsTopics, "R24", "does not exist"]
]

describeLive("the contract finds a driver that", () => {
  for (const [name, mutant, rule, part] of found) {
    const one = Contract.cases.find((candidate) => candidate.rule === rule && candidate.name.includes(part))
    it.concurrent(`${name} (${rule}: ${one?.name})`, async () => {
      assert.isDefined(one)
      const [planned] = Contract.plan({ ...healthy, driver: mutant(healthy.driver) }, [one])
      assert.isDefined(planned)
      assert.isTrue(Exit.isFailure(await Effect.runPromiseExit(planned.run)))
    }, 90_000)
  }
})
