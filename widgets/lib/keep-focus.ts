/**
 * Keeps the focus in a panel where what has it is taken away: the browser would give it to the page, where a keyboard begins
 * again at the top, a screen reader says nothing, and JupyterLab takes plain keys for commands to the notebook.
 */
const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex='-1'])";

export function keepFocus(root: HTMLElement): () => void {
  let last: HTMLElement | null = null;
  let around: HTMLElement[] = [];

  const remember = (event: FocusEvent) => {
    last = event.target as HTMLElement;
    around = [];
    for (let at = last.parentElement; at !== null && root.contains(at); at = at.parentElement) {
      around.push(at);
    }
  };
  // Somebody who clicks beside the controls wants none of them.
  const forget = (event: FocusEvent) => {
    const left = event.target as HTMLElement;
    queueMicrotask(() => {
      if (left === last && left.isConnected && !left.matches(":disabled") && isNowhere()) {
        last = null;
      }
    });
  };
  const mend = () => {
    if (last === null || !isNowhere()) {
      return;
    }
    if (last.isConnected) {
      // Switched off while the kernel answers: it is waited for. In a tab that is hidden, whoever hid it says where to go on.
      if (!last.matches(":disabled") && last.closest("[hidden]") === null) last.focus({ preventScroll: true });
      return;
    }
    for (const place of around) {
      const next = place.isConnected ? [...place.querySelectorAll<HTMLElement>(FOCUSABLE)].find(canTake) : undefined;
      if (next !== undefined) {
        next.focus({ preventScroll: true });
        return;
      }
    }
  };

  const watcher = new MutationObserver(mend);
  watcher.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter: ["disabled"] });
  root.addEventListener("focusin", remember);
  root.addEventListener("focusout", forget);
  return () => {
    watcher.disconnect();
    root.removeEventListener("focusin", remember);
    root.removeEventListener("focusout", forget);
  };
}

function isNowhere(): boolean {
  return document.activeElement === null || document.activeElement === document.body;
}

function canTake(element: HTMLElement): boolean {
  return !element.matches(":disabled") && element.closest("[hidden], details:not([open]) > :not(summary)") === null;
}
