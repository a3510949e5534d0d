/**
 * Events in the order they came, and a way to wait for one: what a case awaits instead of sleeping.
 */
import * as Effect from "effect/Effect"

/** How long a case waits for anything before it fails. Longer than every timeout that it sets. */
const patienceMs = 20_000

/** Fails the case, naming what did not happen. */
export const within = <A, E, R>(
  what: string,
  effect: Effect.Effect<A, E, R>,
  milliseconds = patienceMs
): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, {
    duration: milliseconds,
    orElse: () => Effect.die(new Error(`this did not happen within ${milliseconds} ms: ${what}`))
  })

export class EventLog<A> {
  private readonly events: Array<A> = []
  private readonly waiting = new Set<() => void>()
  private end: string | undefined

  /** Nothing comes any more: whoever still waits is told why. */
  close(why: string): void {
    this.end ??= why
    for (const look of Array.from(this.waiting)) look()
  }

  push(event: A): void {
    this.events.push(event)
    for (const look of Array.from(this.waiting)) look()
  }

  get all(): ReadonlyArray<A> {
    return this.events
  }

  /** The first event from `from` on that matches, now or later. */
  next(what: string, matches: (event: A) => boolean = () => true, from = 0): Effect.Effect<A> {
    return within(
      what,
      Effect.callback<A>((resume) => {
        let at = from
        const look = () => {
          for (; at < this.events.length; at++) {
            // In range: the event may itself be undefined, as the result of a body is.
            const event = this.events[at] as A
            if (!matches(event)) continue
            this.waiting.delete(look)
            resume(Effect.succeed(event))
            return
          }
          if (this.end === undefined) return
          this.waiting.delete(look)
          resume(Effect.die(new Error(`this cannot happen any more: ${what}. ${this.end}`)))
        }
        this.waiting.add(look)
        look()
        return Effect.sync(() => {
          this.waiting.delete(look)
        })
      })
    )
  }
}
