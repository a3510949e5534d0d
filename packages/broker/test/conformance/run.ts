/** Runs one case in a world of its own and answers what it found, with the names of this run taken out. */
import { ENDING } from "./cases/ending.ts"
import type { Answer, Case } from "./suite.ts"
import { World, type WorldOptions } from "./World.ts"

const INTERNAL = /__consumer_offsets-\d+/g

const anonymous = (answer: Answer, prefix: string): Answer => {
  if (typeof answer === "string") return answer.replaceAll(`${prefix}.`, "").replace(INTERNAL, "__consumer_offsets")
  if (typeof answer !== "object" || answer === null) return answer
  if (Array.isArray(answer)) return answer.map((it: Answer) => anonymous(it, prefix))
  return Object.fromEntries(Object.entries(answer).map(([name, it]) => [name, anonymous(it, prefix)]))
}

/** Whether no other case may run at the same time against the same Kafka. */
export const runsAlone = ({ section }: Case): boolean => section.startsWith(ENDING)

export const runCase = async (it: Case, options: WorldOptions): Promise<Answer> => {
  const world = await World.open(options)
  try {
    return anonymous(await it.run(world), options.prefix)
  } finally {
    await world.close()
  }
}
