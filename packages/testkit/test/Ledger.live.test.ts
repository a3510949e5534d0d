import { describeLive, liveBootstrap } from "../../../scripts/vitest/live.ts"
import { ledgerCases } from "./support/ledgerCases.ts"

ledgerCases(describeLive, liveBootstrap)
