import { Contract } from "@exactly-once/testkit"
import { it } from "vitest"
import { describeLive } from "../../../scripts/vitest/live.ts"
import { kafkajs } from "./support/kafkajs.ts"
import { realKafka } from "./support/live.ts"

Contract.register({ describe: describeLive, it }, kafkajs("real Kafka", realKafka))
