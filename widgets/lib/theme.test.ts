import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { detectHost, detectTheme, PALETTE, type Theme, watchTheme } from "./theme";

afterEach(() => {
  document.body.className = "";
  document.documentElement.className = "";
  document.body.removeAttribute("data-jp-theme-light");
});

test("JupyterLab's attribute decides", () => {
  document.body.setAttribute("data-jp-theme-light", "false");
  expect([detectHost(), detectTheme()]).toEqual(["jupyter", "dark"]);
  document.body.setAttribute("data-jp-theme-light", "true");
  expect(detectTheme()).toBe("light");
});

test.each([
  ["vscode-dark", "dark"],
  ["vscode-light", "light"],
  ["vscode-high-contrast", "dark"],
  ["vscode-high-contrast vscode-high-contrast-light", "light"],
])("VS Code's body class %s is %s", (name, theme) => {
  document.body.className = name;
  expect([detectHost(), detectTheme()]).toEqual(["vscode", theme]);
});

test("without a host the system's preference decides", () => {
  vi.stubGlobal("matchMedia", () => ({ matches: true, addEventListener() {}, removeEventListener() {} }));
  expect(detectTheme()).toBe("dark");
  vi.unstubAllGlobals();
});

test("a switch of the theme is told once, and not after the unsubscribe", async () => {
  document.body.setAttribute("data-jp-theme-light", "true");
  const told: Theme[] = [];
  const changed = new Promise<void>((resolve) => {
    const stop = watchTheme((theme) => {
      told.push(theme);
      stop();
      resolve();
    });
  });
  document.body.setAttribute("data-jp-theme-light", "false");
  await changed;
  document.body.setAttribute("data-jp-theme-light", "true");
  await new Promise((resolve) => setTimeout(resolve));
  expect(told).toEqual(["dark"]);
});

function variables(theme: Theme): Record<string, string> {
  const css = readFileSync("lib/theme.css", "utf8");
  const block = (selector: string) => css.split(`${selector} {`)[1]?.split("}")[0] ?? "";
  const text = block("\n.snb") + (theme === "dark" ? block('.snb[data-theme="dark"]') : "");
  return Object.fromEntries(
    [...text.matchAll(/--snb-([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, color]) => [name, color]),
  );
}

function luminance(color: string): number {
  const channels = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255);
  const [r = 0, g = 0, b = 0] = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

// JupyterLab paints the dark root #111111 and VS Code #1e1e1e; the panel's own fallback lies between.
const ROOTS: Record<Theme, string[]> = { light: ["#ffffff"], dark: ["#111111", "#14171a", "#1e1e1e"] };

test.each<Theme>(["light", "dark"])("text has a contrast of 4.5 and borders of controls 3 in the %s theme", (theme) => {
  const color = variables(theme);
  const pair = (name: string, on: string) => contrast(color[name] as string, color[on] ?? on);
  for (const surface of ["surface", "sunken", ...ROOTS[theme]]) {
    for (const text of ["text", "muted", "accent", "second", "good", "warn", "bad"]) {
      expect(pair(text, surface), `${text} on ${surface}`).toBeGreaterThanOrEqual(4.5);
    }
    expect(pair("control-line", surface), `control-line on ${surface}`).toBeGreaterThanOrEqual(3);
  }
  for (const tone of ["accent", "good", "warn", "bad"]) {
    expect(pair(tone, `${tone}-soft`), `${tone} chip`).toBeGreaterThanOrEqual(4.5);
  }
  expect(pair("on-accent", "accent")).toBeGreaterThanOrEqual(4.5);
});

test.each<Theme>(["light", "dark"])("charts and style sheet have the same %s colours", (theme) => {
  const color = variables(theme);
  for (const [name, value] of Object.entries(PALETTE[theme])) {
    expect(value, name).toBe(color[name]);
  }
});
