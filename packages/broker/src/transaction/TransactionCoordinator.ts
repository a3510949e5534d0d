/**
 * The transaction coordinator as a state machine (KIP-98, 360, 588, 664, 890): each command takes the time, changes the state, and answers
 * an error code with, where a transaction begins to end, the markers that must be written. It writes nothing itself. Between that answer
 * and `complete` the transaction is in PrepareCommit or PrepareAbort, for as long as the caller takes: a real broker needs milliseconds
 * for it, and most races of exactly-once live in them.
 */
import * as Code from "../errorCodes.ts"
import {
  type Completion,
  isEpochExhausted,
  isPreparing,
  keyOf,
  NO_EPOCH,
  NO_PRODUCER_ID,
  type TopicPartition,
  type Transaction,
  type TransactionState
} from "./Transaction.ts"

export interface CoordinatorOptions {
  /** The finalized `transaction.version`. From 2 on the coordinator's own aborts bump the epoch in a way the client can follow. */
  readonly transactionVersion: 0 | 1 | 2
  /** `transaction.max.timeout.ms` */
  readonly maxTimeoutMs: number
  /** `transactional.id.expiration.ms` */
  readonly idExpirationMs: number
  /** The epoch a new producer id starts with: 0 in Kafka. Close to 32,766 it lets a test see the epochs run out. */
  readonly firstEpoch: number
}

export interface Environment {
  readonly options: CoordinatorOptions
  readonly newProducerId: () => number
}

/** A producer as a request names it. */
export interface Producer {
  readonly transactionalId: string
  readonly producerId: number
  readonly epoch: number
}

export interface Outcome {
  readonly error: number
  readonly producerId: number
  readonly epoch: number
  readonly completion: Completion | undefined
}

const refuse = (error: number): Outcome => ({
  error,
  producerId: NO_PRODUCER_ID,
  epoch: NO_EPOCH,
  completion: undefined
})
const agree = (transaction: Transaction, completion?: Completion): Outcome => ({
  error: Code.NONE,
  producerId: transaction.producerId,
  epoch: transaction.epoch,
  completion
})

export class TransactionCoordinator {
  private readonly environment: Environment
  private readonly transactions = new Map<string, Transaction>()
  private readonly ongoing = new Set<Transaction>()

  constructor(environment: Environment) {
    this.environment = environment
  }

  get(transactionalId: string): Transaction | undefined {
    return this.transactions.get(transactionalId)
  }

  all(): Iterable<Transaction> {
    return this.transactions.values()
  }

  open(): Iterable<Transaction> {
    return this.ongoing
  }

  private move(transaction: Transaction, state: TransactionState, now: number): void {
    transaction.previousProducerId = transaction.producerId
    transaction.state = state
    transaction.updatedAt = now
    if (state === "Ongoing") this.ongoing.add(transaction)
    else this.ongoing.delete(transaction)
  }

  /** InitProducerId with a transactional id. `expected` is the producer id and epoch that the client had (KIP-360). */
  init(
    transactionalId: string,
    timeoutMs: number,
    expected: { readonly producerId: number; readonly epoch: number } | undefined,
    now: number
  ): Outcome {
    const { options, newProducerId } = this.environment
    if (transactionalId === "") return refuse(Code.INVALID_REQUEST)
    if (timeoutMs <= 0 || timeoutMs > options.maxTimeoutMs) return refuse(Code.INVALID_TRANSACTION_TIMEOUT)
    let transaction = this.transactions.get(transactionalId)
    if (transaction === undefined) {
      transaction = {
        transactionalId,
        producerId: newProducerId(),
        previousProducerId: NO_PRODUCER_ID,
        nextProducerId: NO_PRODUCER_ID,
        epoch: options.firstEpoch - 1,
        lastEpoch: NO_EPOCH,
        timeoutMs,
        state: "Empty",
        partitions: new Map(),
        startedAt: -1,
        updatedAt: now
      }
      this.transactions.set(transactionalId, transaction)
      // Whatever the client believes it had is of no account: the id is new.
      return this.bump(transaction, NO_EPOCH, timeoutMs, now)
    }
    if (isPreparing(transaction.state)) return refuse(Code.CONCURRENT_TRANSACTIONS)
    if (expected !== undefined && !this.mayContinue(transaction, expected)) return refuse(Code.PRODUCER_FENCED)
    if (transaction.state === "Ongoing") {
      // The transaction is aborted under an epoch that no client ever gets; the client asks again and then gets the one after it. With
      // version 2 the epoch before the abort may still be asked for by its owner, who gets the aborting one.
      return { ...refuse(Code.CONCURRENT_TRANSACTIONS), completion: this.abortAndFence(transaction, now) }
    }
    if (isEpochExhausted(transaction.epoch) && (expected === undefined || expected.epoch === transaction.epoch)) {
      const lastEpoch = expected === undefined ? NO_EPOCH : transaction.epoch
      this.move(transaction, "Empty", now)
      transaction.producerId = newProducerId()
      transaction.epoch = 0
      transaction.lastEpoch = lastEpoch
      transaction.timeoutMs = timeoutMs
      transaction.startedAt = -1
      return agree(transaction)
    }
    if (expected === undefined) return this.bump(transaction, NO_EPOCH, timeoutMs, now)
    if (expected.epoch === transaction.epoch) return this.bump(transaction, transaction.epoch, timeoutMs, now)
    // The same request again: its answer was lost. Nobody else can have come in between, as that would have cleared the last epoch.
    if (expected.epoch === transaction.lastEpoch) {
      this.move(transaction, "Empty", now)
      transaction.timeoutMs = timeoutMs
      transaction.startedAt = -1
      return agree(transaction)
    }
    return refuse(Code.PRODUCER_FENCED)
  }

  private mayContinue(
    transaction: Transaction,
    expected: { readonly producerId: number; readonly epoch: number }
  ): boolean {
    return expected.producerId === transaction.producerId ||
      (expected.producerId === transaction.previousProducerId && isEpochExhausted(expected.epoch))
  }

  private bump(transaction: Transaction, lastEpoch: number, timeoutMs: number, now: number): Outcome {
    this.move(transaction, "Empty", now)
    transaction.epoch++
    transaction.lastEpoch = lastEpoch
    transaction.timeoutMs = timeoutMs
    transaction.startedAt = -1
    return agree(transaction)
  }

  /** What AddPartitionsToTxn, AddOffsetsToTxn and, from version 2 on, the partitions' leaders ask for. */
  add(producer: Producer, partitions: ReadonlyArray<TopicPartition>, now: number): number {
    // Before it looks at who asks, as Kafka does: the id may be about to change.
    if (this.isPreparing(producer.transactionalId)) return Code.CONCURRENT_TRANSACTIONS
    const found = this.find(producer)
    if (typeof found === "number") return found
    if (found.epoch !== producer.epoch) return Code.PRODUCER_FENCED
    if (found.state !== "Ongoing") {
      found.startedAt = now
      this.move(found, "Ongoing", now)
    }
    for (const { topic, partition } of partitions) {
      const key = keyOf(topic, partition)
      if (!found.partitions.has(key)) found.partitions.set(key, { topic, partition })
    }
    found.updatedAt = now
    return Code.NONE
  }

  /** Whether a partition is part of the producer's transaction: asked by its leader before a batch of an older client (KIP-890). */
  verify(producer: Producer, partition: TopicPartition): number {
    const found = this.find(producer)
    if (typeof found === "number") return found
    if (found.epoch !== producer.epoch) return Code.PRODUCER_FENCED
    if (isPreparing(found.state)) return Code.CONCURRENT_TRANSACTIONS
    return found.partitions.has(keyOf(partition.topic, partition.partition)) ? Code.NONE : Code.TRANSACTION_ABORTABLE
  }

  private isPreparing(transactionalId: string): boolean {
    const found = this.transactions.get(transactionalId)
    return found !== undefined && isPreparing(found.state)
  }

  private find(producer: Producer): Transaction | number {
    if (producer.transactionalId === "") return Code.INVALID_REQUEST
    const found = this.transactions.get(producer.transactionalId)
    return found === undefined || found.producerId !== producer.producerId ? Code.INVALID_PRODUCER_ID_MAPPING : found
  }

  /** EndTxn. With `bumps` (version 5 on, KIP-890) each end moves the epoch on, and the answer carries the next one. */
  end(producer: Producer, commit: boolean, bumps: boolean, now: number): Outcome {
    if (producer.transactionalId === "") return refuse(Code.INVALID_REQUEST)
    const transaction = this.transactions.get(producer.transactionalId)
    if (transaction === undefined) return refuse(Code.INVALID_PRODUCER_ID_MAPPING)
    return bumps
      ? this.endBumping(transaction, producer, commit, now)
      : this.endPlain(transaction, producer, commit, now)
  }

  private endPlain(transaction: Transaction, producer: Producer, commit: boolean, now: number): Outcome {
    if (transaction.producerId !== producer.producerId) return refuse(Code.INVALID_PRODUCER_ID_MAPPING)
    if (transaction.epoch !== producer.epoch) return refuse(Code.PRODUCER_FENCED)
    switch (transaction.state) {
      case "Ongoing":
        return agree(transaction, this.prepare(transaction, commit, now))
      case "CompleteCommit":
        return commit ? agree(transaction) : refuse(Code.INVALID_TXN_STATE)
      case "CompleteAbort":
        return commit ? refuse(Code.INVALID_TXN_STATE) : agree(transaction)
      // Whichever way it is being ended: the state that comes next is settled, and only that is compared with a request.
      case "PrepareCommit":
      case "PrepareAbort":
        return refuse(Code.CONCURRENT_TRANSACTIONS)
      case "Empty":
      case "Dead":
        return refuse(Code.INVALID_TXN_STATE)
    }
  }

  private endBumping(transaction: Transaction, producer: Producer, commit: boolean, now: number): Outcome {
    const { state } = transaction
    if (isPreparing(state)) return refuse(Code.CONCURRENT_TRANSACTIONS)
    // The end of a transaction moved the epoch on, so a client that repeats its request is one epoch behind; or it still has the id whose
    // epochs that end used up.
    const bumped = transaction.epoch === producer.epoch + 1
    const rotated = transaction.previousProducerId === producer.producerId && isEpochExhausted(producer.epoch) &&
      transaction.epoch === 0 && transaction.producerId !== producer.producerId
    const again = bumped || rotated
    if (transaction.producerId !== producer.producerId && !rotated) return refuse(Code.INVALID_PRODUCER_ID_MAPPING)
    const current = transaction.epoch === producer.epoch
    const complete = state === "CompleteCommit" || state === "CompleteAbort"
    if (!current && !(complete && again)) return refuse(Code.PRODUCER_FENCED)
    switch (state) {
      case "Ongoing":
        return this.prepareBumping(transaction, commit, now)
      case "CompleteCommit":
        if (again) return commit ? agree(transaction) : refuse(Code.INVALID_TXN_STATE)
        break
      case "CompleteAbort":
        if (again) return commit ? refuse(Code.INVALID_TXN_STATE) : agree(transaction)
        break
      default:
        break
    }
    if (commit) return refuse(Code.INVALID_TXN_STATE)
    // Aborting nothing is allowed and moves the epoch on, so that whatever was sent before it cannot land later.
    transaction.startedAt = now
    return this.prepareBumping(transaction, false, now)
  }

  private prepareBumping(transaction: Transaction, commit: boolean, now: number): Outcome {
    const completion = this.prepareWithNextEpoch(transaction, commit, now)
    return transaction.nextProducerId === NO_PRODUCER_ID
      ? agree(transaction, completion)
      : { error: Code.NONE, producerId: transaction.nextProducerId, epoch: 0, completion }
  }

  private prepareWithNextEpoch(transaction: Transaction, commit: boolean, now: number): Completion {
    transaction.nextProducerId = isEpochExhausted(transaction.epoch)
      ? this.environment.newProducerId()
      : NO_PRODUCER_ID
    transaction.lastEpoch = transaction.epoch
    transaction.epoch++
    return this.prepare(transaction, commit, now)
  }

  private prepare(transaction: Transaction, commit: boolean, now: number): Completion {
    this.move(transaction, commit ? "PrepareCommit" : "PrepareAbort", now)
    return this.completionOf(transaction)
  }

  private completionOf(transaction: Transaction): Completion {
    return {
      transactionalId: transaction.transactionalId,
      commit: transaction.state === "PrepareCommit",
      producerId: transaction.producerId,
      producerEpoch: transaction.epoch,
      partitions: [...transaction.partitions.values()]
    }
  }

  private abortAndFence(transaction: Transaction, now: number): Completion {
    if (this.environment.options.transactionVersion >= 2) return this.prepareWithNextEpoch(transaction, false, now)
    transaction.epoch++
    transaction.lastEpoch = NO_EPOCH
    return this.prepare(transaction, false, now)
  }

  /** The markers of a completion are written: the transaction is over. */
  complete(completion: Completion, now: number): void {
    const transaction = this.transactions.get(completion.transactionalId)
    if (transaction === undefined || !isPreparing(transaction.state)) return
    if (transaction.producerId !== completion.producerId || transaction.epoch !== completion.producerEpoch) return
    this.move(transaction, transaction.state === "PrepareCommit" ? "CompleteCommit" : "CompleteAbort", now)
    transaction.partitions.clear()
    if (transaction.nextProducerId !== NO_PRODUCER_ID) {
      transaction.producerId = transaction.nextProducerId
      transaction.epoch = 0
      transaction.nextProducerId = NO_PRODUCER_ID
    }
  }

  /** Completions that were begun and not finished: a coordinator that comes back after a restart or a move goes on with these. */
  unfinished(): Array<Completion> {
    return [...this.transactions.values()].filter((it) => isPreparing(it.state)).map((it) => this.completionOf(it))
  }

  /** The moment at which the first open transaction runs out of time; `undefined` when none is open. */
  nextDeadline(): number | undefined {
    let first: number | undefined
    for (const { startedAt, timeoutMs } of this.ongoing) {
      if (first === undefined || startedAt + timeoutMs < first) first = startedAt + timeoutMs
    }
    return first
  }

  /** Begins to abort every transaction that is out of time, fencing its producer. */
  timeOut(now: number): Array<Completion> {
    const late = [...this.ongoing].filter((it) => it.startedAt + it.timeoutMs <= now)
    return late.map((it) => this.abortAndFence(it, now))
  }

  /** Does to one id what a timeout or a newer instance would do. `undefined` when it has no open transaction. */
  fence(transactionalId: string, now: number): Completion | undefined {
    const transaction = this.transactions.get(transactionalId)
    return transaction?.state === "Ongoing" ? this.abortAndFence(transaction, now) : undefined
  }

  /** Forgets ids that did nothing for `transactional.id.expiration.ms`. */
  expire(now: number): void {
    for (const transaction of this.transactions.values()) {
      if (transaction.state === "Ongoing" || isPreparing(transaction.state)) continue
      if (transaction.updatedAt + this.environment.options.idExpirationMs <= now) {
        this.transactions.delete(transaction.transactionalId)
      }
    }
  }

  snapshot(): Array<Transaction> {
    return Array.from(this.transactions.values(), (it) => ({ ...it, partitions: new Map(it.partitions) }))
  }

  static restore(environment: Environment, transactions: ReadonlyArray<Transaction>): TransactionCoordinator {
    const coordinator = new TransactionCoordinator(environment)
    for (const it of transactions) {
      const transaction = { ...it, partitions: new Map(it.partitions) }
      coordinator.transactions.set(transaction.transactionalId, transaction)
      if (transaction.state === "Ongoing") coordinator.ongoing.add(transaction)
    }
    return coordinator
  }
}
