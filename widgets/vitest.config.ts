import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { __PLOTLY_VERSION__: JSON.stringify("test") },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: { environment: "happy-dom", include: ["**/*.test.{ts,tsx}"], restoreMocks: true },
});
