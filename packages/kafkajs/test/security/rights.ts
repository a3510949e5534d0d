/**
 * What each layer needs and no more, as `docs/operations/acls.md` has it: `acls.live.test.ts` tries each right on real
 * Kafka, `acls.test.ts` compares the page. In names `<in>` and the like stand for what a program chooses.
 */
export interface Right {
  readonly operation: "Read" | "Write"
  readonly resource: "Topic" | "Group" | "TransactionalId"
  readonly name: string
  /** For everything whose name begins so. */
  readonly prefixed?: boolean
}

const session: Right = { operation: "Write", resource: "TransactionalId", name: "<prefix>-", prefixed: true }
const writing: Right = { operation: "Write", resource: "Topic", name: "<out>" }
const reading: ReadonlyArray<Right> = [
  { operation: "Read", resource: "Topic", name: "<in>" },
  { operation: "Read", resource: "Group", name: "<group>" }
]

export const rights = {
  "IdempotentProducer": [writing],
  "TransactionalSession": [session],
  "withTransaction": [
    session,
    writing,
    { operation: "Read", resource: "Topic", name: "<out>" },
    { operation: "Read", resource: "Group", name: "<prefix>-outcome-", prefixed: true }
  ],
  "CommittedConsumer": reading,
  "transactionally": [...reading, session, writing]
} as const satisfies Readonly<Record<string, ReadonlyArray<Right>>>

export type Use = keyof typeof rights
