import { describe } from "vitest"
import { embedded } from "./support/embedded.ts"
import { ledgerCases } from "./support/ledgerCases.ts"

ledgerCases(describe, embedded())
