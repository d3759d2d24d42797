/** Code that does in a cell what the panel does, with a copy button. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./controls";

/** Copy through the clipboard API, or through a selection where the page may not use that one (plain http). */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand?.("copy") ?? false;
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label, small = true }: { text: string; label: string; small?: boolean }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    setState((await copyText(text)) ? "copied" : "failed");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setState("idle"), 1500);
  };
  const shown = { idle: "Copy", copied: "Copied", failed: "Select and copy" }[state];
  return (
    <Button kind="quiet" small={small} aria-label={label} onClick={copy}>
      <span aria-live="polite">{shown}</span>
    </Button>
  );
}

export function CodeBlock({ title, code }: { title: string; code: string }) {
  return (
    <figure class="snb-codeblock">
      <figcaption>
        {title}
        <CopyButton text={code} label={`Copy ${title}`} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard */}
      <pre class="snb-code" tabIndex={0}>
        {code}
      </pre>
    </figure>
  );
}
