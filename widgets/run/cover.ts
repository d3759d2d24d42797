/**
 * While the live panel is there, its static snapshot (the output below it, kept for the day the kernel is gone) is
 * hidden. The snapshot is recognised by its marker: in the PNG's description, or at the start of its text.
 */
const COVERED = "snb-covered";
const MARKER_REACH = 2048; // base64 characters from the start of the picture that hold its description

function isSnapshot(output: Element | null | undefined, marker: string): output is HTMLElement {
  if (!(output instanceof HTMLElement) || output.querySelector(".jupyter-widgets") !== null) {
    return false;
  }
  const source = output.querySelector("img")?.src ?? "";
  const [head, data] = source.split("base64,");
  if (head?.startsWith("data:image/png") && data) {
    return atob(data.slice(0, MARKER_REACH)).includes(marker);
  }
  return output.querySelector("pre")?.textContent?.trimStart().startsWith(marker) ?? false;
}

/** Hide the snapshot in the output that follows `element`'s own, as long as the panel is shown. Returns the undo. */
export function coverSnapshot(element: HTMLElement, runId: string): () => void {
  const own = element.closest(".jp-OutputArea-child");
  const area = own?.parentElement;
  if (!own || !area) {
    return () => {};
  }
  const marker = `ShadowNB run ${runId}`;
  const uncover = () => {
    for (const output of area.querySelectorAll(`.${COVERED}`)) {
      output.classList.remove(COVERED);
    }
  };
  const check = () => {
    const next = own.nextElementSibling;
    if (isSnapshot(next, marker)) {
      next.classList.add(COVERED);
    }
  };
  const observer = new MutationObserver(check);
  observer.observe(area, { childList: true, subtree: true });
  check();
  return () => {
    observer.disconnect();
    uncover();
  };
}
