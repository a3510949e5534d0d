import { Contract } from "@exactly-once/testkit"
import { Effect, Exit } from "effect"
import { assert, it } from "vitest"
import { describeLive } from "../../../scripts/vitest/live.ts"
import * as Mutants from "./mutants/mutants.ts"
import { kafkajs } from "./support/kafkajs.ts"

/** A mutant, and the case that must find it. */
const found: ReadonlyArray<readonly [name: string, mutant: Mutants.Mutant, rule: Contract.Rule, part: string]> = [
  ["neitherFencesNorLoses", Mutants.neitherFencesNorLoses, "R1", "lost and processed elsewhere"],
  ["stopsAtTheLastRecord", Mutants.stopsAtTheLastRecord, "R2", "passes control records"],
  ["swallowsSendFailures", Mutants.swallowsSendFailures, "R3", "a refused record poisons"],
  ["swallowsSendFailures", Mutants.swallowsSendFailures, "R3", "whose answer is lost poisons"],
  ["takesUnknownForAborted", Mutants.takesUnknownForAborted, "R4", "was applied and not answered is found"],
  ["takesUnknownForCommitted", Mutants.takesUnknownForCommitted, "R4", "never arrived"],
  ["believesEveryOffset", Mutants.believesEveryOffset, "R4", "somebody else reached"],
  ["neverRewinds", Mutants.neverRewinds, "R5", "goes on from the committed offset"],
  ["forgetsLost", Mutants.forgetsLost, "R6", "nothing waits for the body"],
  ["losesWhatIsRevoked", Mutants.losesWhatIsRevoked, "R7", "commits before its partition moves"],
  ["losesTheTail", Mutants.losesTheTail, "R10", "concurrent emits"],
  ["commitsBehindOnesBack", Mutants.commitsBehindOnesBack, "R15", "and not before"],
  ["namesNoReplica", Mutants.namesNoReplica, "R16", "the older stops"],
  ["readsUncommitted", Mutants.readsUncommitted, "R18", "reading is read_committed"],
  ["registersBeforeAborting", Mutants.registersBeforeAborting, "R19", "harmless"],
  ["leaksAborted", Mutants.leaksAborted, "R21", "many ranges in one fetch"],
  ["leaksAborted", Mutants.leaksAborted, "R21", "in another fetch"],
  ["fencesNobody", Mutants.fencesNobody, "R22", "late commit is refused"],
  ["fetchesBeforeInit", Mutants.fetchesBeforeInit, "R22", "in the middle of a takeover"],
  ["keepsItsEpoch", Mutants.keepsItsEpoch, "R23", "Produce that arrives late"],
  ["keepsItsEpoch", Mutants.keepsItsEpoch, "R23", "EndTxn that arrives late"]
]

describeLive("the contract finds a driver that", () => {
  for (const [name, mutant, rule, part] of found) {
    const one = Contract.cases.find((candidate) => candidate.rule === rule && candidate.name.includes(part))
    it.concurrent(`${name} (${rule}: ${one?.name})`, async () => {
      assert.isDefined(one)
      const [planned] = Contract.plan({ ...kafkajs, driver: mutant(kafkajs.driver) }, [one])
      assert.isDefined(planned)
      assert.isTrue(Exit.isFailure(await Effect.runPromiseExit(planned.run)))
    }, 90_000)
  }
})
