/**
 * Runs a worker's program so that its exit code tells a supervisor what to do:
 *   0 asked to stop · 1 failed: restart · 2 needs a person (settings, rights, a record): do not restart · 3 fenced or timed out: restart ·
 *   4 a newer process runs under this replica's name: do not restart
 */
import { NodeRuntime } from "@effect/platform-node"
import { Cause, type Effect, Exit, Option, Predicate } from "effect"

const exitCodes: Readonly<Record<string, number>> = {
  Misconfigured: 2,
  ConfigError: 2,
  Unauthorized: 2,
  DecodeError: 2,
  CorruptRecord: 2,
  InvalidRecord: 2,
  OffsetOutOfRange: 2,
  ProducerFenced: 3,
  TransactionTimedOut: 3,
  CommitOutcomeUnknown: 3,
  ReplicaClash: 4
}

const exitCode = (failure: unknown): number =>
  Predicate.hasProperty(failure, "_tag") && typeof failure._tag === "string" ? exitCodes[failure._tag] ?? 1 : 1

/** Interrupts `program` at SIGTERM and SIGINT; what is open then finishes or aborts, and the group is left. */
export const runSupervised = <A, E>(program: Effect.Effect<A, E>): void =>
  NodeRuntime.runMain(program, {
    teardown: (exit, onExit) =>
      onExit(
        Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
          ? 0
          : exitCode(Option.getOrUndefined(Cause.findErrorOption(exit.cause)))
      )
  })
