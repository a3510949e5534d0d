/** What a broker answers to Produce, and what that means for the batch. */

/** Leaders that move, replicas that lag, a transaction that is being ended or looked up: the same bytes may go again. */
export const again: ReadonlySet<number> = new Set([3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 51, 56, 74, 75, 100, 103])

/** Those after which the batch may have been written all the same. */
export const doubtful: ReadonlySet<number> = new Set([-1, 7, 13, 20])

export const outOfOrder = 45
/** Written before. */
export const duplicate = 46
/** With transactions of version 2: the one before is still being ended. */
export const concurrentTransactions = 51
export const unknownTopic = 3
export const unknownTopicId = 100
