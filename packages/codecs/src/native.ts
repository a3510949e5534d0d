import { createRequire } from "node:module"

const require = createRequire(import.meta.url)

/**
 * Loads an optional native package when it is first needed: a platform without a prebuilt binary can still use everything else.
 * Answers `undefined` when it is not installed or has no binary here.
 */
export const optional = <A>(name: string): () => A | undefined => {
  let loaded: A | undefined | null = null
  return () => {
    if (loaded === null) {
      try {
        // The caller states the part of the package's documented interface that it uses.
        loaded = require(name) as A
      } catch {
        loaded = undefined
      }
    }
    return loaded
  }
}
