/** Counting findings: all of them by number, a few by name. */

export interface Finding {
  readonly count: number
  readonly examples: ReadonlyArray<string>
}

export interface Tally {
  readonly add: (example: string) => void
  readonly finding: () => Finding
}

const keptExamples = 10

export const tally = (): Tally => {
  const examples: Array<string> = []
  let count = 0
  return {
    add: (example) => {
      count++
      if (examples.length < keptExamples) examples.push(example)
    },
    finding: () => ({ count, examples })
  }
}

export const isEmpty = (counted: Tally): boolean => counted.finding().count === 0
