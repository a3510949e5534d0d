import { Contract } from "@exactly-once/testkit"
import { describe, it } from "vitest"
import { embedded } from "./support/embedded.ts"
import { kafkajs } from "./support/kafkajs.ts"

Contract.register({ describe, it }, kafkajs("the embedded broker", { bootstrap: embedded(), transactionVersion: 2 }))
