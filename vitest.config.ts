import { defineConfig } from "vitest/config"

// A machine that others share can stop for seconds, and brokers, sessions and transactions run on real time-outs. CI tries a
// failed test once more and the report shows that it did; by hand a failure stands at once.
const retry = process.env["CI"] === undefined ? 0 : 1

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "examples/**/*.test.ts", "{scripts,bench}/**/*.test.ts"],
          exclude: ["**/*.live.test.ts", "**/node_modules/**"],
          testTimeout: 30_000,
          retry
        }
      },
      {
        extends: true,
        test: {
          name: "live",
          include: ["packages/*/test/**/*.live.test.ts", "{examples,scripts,bench}/**/*.live.test.ts"],
          globalSetup: ["scripts/vitest/kafkaGlobalSetup.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          retry
        }
      }
    ]
  }
})
