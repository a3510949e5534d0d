import { Contract } from "@exactly-once/testkit"
import { describe, it } from "vitest"
import { cases, client, embedded } from "./support/contract.ts"

Contract.register({ describe, it }, client("the embedded broker", embedded(2)), cases)
