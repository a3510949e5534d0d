import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "examples/**/*.test.ts", "{scripts,bench}/**/*.test.ts"],
          exclude: ["**/*.live.test.ts", "**/node_modules/**"],
          testTimeout: 20_000
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
          fileParallelism: false
        }
      }
    ]
  }
})
