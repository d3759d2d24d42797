/** Which of the two themes the page has, and a subscription to its change. */
import { useEffect, useState } from "preact/hooks";

export type Theme = "light" | "dark";
export type HostKind = "vscode" | "jupyter" | "other";

export function detectHost(page: Document = document): HostKind {
  if (page.querySelector("body.vscode-light, body.vscode-dark, body.vscode-high-contrast") !== null) {
    return "vscode";
  }
  return page.querySelector("[data-jp-theme-light]") === null ? "other" : "jupyter";
}

export function detectTheme(page: Document = document): Theme {
  const body = page.body;
  if (detectHost(page) === "vscode") {
    const dark = body.classList.contains("vscode-dark") || body.classList.contains("vscode-high-contrast");
    return dark && !body.classList.contains("vscode-high-contrast-light") ? "dark" : "light";
  }
  const jupyter = page.querySelector("[data-jp-theme-light]")?.getAttribute("data-jp-theme-light");
  if (jupyter !== undefined && jupyter !== null) {
    return jupyter === "true" ? "light" : "dark";
  }
  for (const element of [page.documentElement, body]) {
    const named = element.getAttribute("data-theme") ?? element.getAttribute("theme");
    if (named === "dark" || named === "light") {
      return named;
    }
    if (element.classList.contains("dark") || element.classList.contains("dark-theme")) {
      return "dark";
    }
  }
  return globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Call `onChange` whenever the page's theme changes; returns the unsubscribe function. */
export function watchTheme(onChange: (theme: Theme) => void): () => void {
  let current = detectTheme();
  const check = () => {
    const next = detectTheme();
    if (next !== current) {
      current = next;
      onChange(next);
    }
  };
  const observer = new MutationObserver(check);
  const options = { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-theme", "theme"] };
  observer.observe(document.documentElement, options);
  observer.observe(document.body, options);
  const media = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
  media?.addEventListener?.("change", check);
  return () => {
    observer.disconnect();
    media?.removeEventListener?.("change", check);
  };
}

export function useTheme(): Theme {
  const [theme, setTheme] = useState<Theme>(detectTheme);
  useEffect(() => {
    setTheme(detectTheme());
    return watchTheme(setTheme);
  }, []);
  return theme;
}

/** Colours for plotly and inline SVG, which cannot read CSS variables. Kept equal to theme.css by a test. */
export const PALETTE: Record<
  Theme,
  Record<"text" | "muted" | "line" | "accent" | "second" | "good" | "surface", string>
> = {
  light: {
    text: "#1c2127",
    muted: "#57606a",
    line: "#d8dee4",
    accent: "#2456c7",
    second: "#a8420b",
    good: "#1a6b3a",
    surface: "#ffffff",
  },
  dark: {
    text: "#e8eaed",
    muted: "#a2abb5",
    line: "#3a4149",
    accent: "#8ab0ff",
    second: "#f0a36b",
    good: "#6fcf97",
    surface: "#1c2024",
  },
};
