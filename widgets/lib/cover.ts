/**
 * While the live panel is there, its static snapshot (the output below it, kept for the day the kernel is gone) is
 * hidden. The snapshot is recognised by its caption: in the PNG's description, or at the start of its text.
 */
const COVERED = "snb-covered";
const CAPTION_REACH = 2048; // base64 characters from the start of the picture that hold its description

/** What an output says about itself, as far as a caption would reach. */
function captionOf(output: Element | null | undefined): string {
  if (!(output instanceof HTMLElement) || output.querySelector(".jupyter-widgets") !== null) {
    return "";
  }
  const source = output.querySelector("img")?.src ?? "";
  const [head, data] = source.split("base64,");
  if (head?.startsWith("data:image/png") && data) {
    return atob(data.slice(0, CAPTION_REACH));
  }
  return output.querySelector("pre")?.textContent?.trimStart().split("\n")[0] ?? "";
}

/**
 * Hide the snapshot in the output that follows `element`'s own, as long as the panel is shown. Returns the undo.
 *
 * `onSeen` is told what that output says at first and whenever it changes, empty where it does not hold `marker`.
 */
export function coverSnapshot(element: HTMLElement, marker: string, onSeen: (caption: string) => void): () => void {
  const own = element.closest(".jp-OutputArea-child");
  const area = own?.parentElement;
  if (!own || !area) {
    return () => {};
  }
  const uncover = () => {
    for (const output of area.querySelectorAll(`.${COVERED}`)) {
      output.classList.remove(COVERED);
    }
  };
  const check = () => {
    const next = own.nextElementSibling;
    const caption = captionOf(next);
    const ours = caption.includes(marker);
    if (ours) {
      next?.classList.add(COVERED);
    }
    onSeen(ours ? caption : "");
  };
  const observer = new MutationObserver(check);
  observer.observe(area, { childList: true, subtree: true });
  check();
  return () => {
    observer.disconnect();
    uncover();
  };
}
