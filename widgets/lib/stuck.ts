/** Keeps the last part of a panel in sight while the panel is longer than what can be seen of it. */
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/**
 * `position: sticky` would do, were it not for JupyterLab: the box of every output is a scroll container that never scrolls, and
 * what is sticky keeps to that. So the part is moved by as much as its foot is below what can be seen.
 */
export function useStuck(ref: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const part = ref.current;
    const panel = part?.parentElement;
    if (!part || !panel) {
      return;
    }
    let frame = 0;
    const place = () => {
      frame = 0;
      const { top, bottom } = panel.getBoundingClientRect();
      const shift = shiftOf(top, bottom, part.offsetHeight, visibleBottom(panel));
      part.style.transform = shift === 0 ? "" : `translateY(${shift}px)`;
      part.classList.toggle("is-stuck", shift !== 0);
    };
    const later = () => {
      frame ||= requestAnimationFrame(place);
    };
    document.addEventListener("scroll", later, { capture: true, passive: true });
    window.addEventListener("resize", later);
    const sizes = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(later);
    sizes?.observe(panel);
    later();
    return () => {
      cancelAnimationFrame(frame);
      document.removeEventListener("scroll", later, { capture: true });
      window.removeEventListener("resize", later);
      sizes?.disconnect();
    };
  }, []);
}

/** By how many pixels the last part of a panel is moved, so that it stands at the foot of what is seen and within the panel. */
export function shiftOf(top: number, bottom: number, height: number, visible: number): number {
  return Math.min(0, Math.max(visible - bottom, top + height - bottom));
}

/** Where what can be seen of an element ends: at the window's foot, or at that of a part of the page that scrolls. */
function visibleBottom(element: HTMLElement): number {
  let bottom = window.innerHeight;
  for (let at = element.parentElement; at !== null; at = at.parentElement) {
    // One that has nothing to scroll ends nowhere: JupyterLab has boxes without a height around the cells.
    if (/auto|scroll/.test(getComputedStyle(at).overflowY) && at.scrollHeight > at.clientHeight + 1) {
      bottom = Math.min(bottom, at.getBoundingClientRect().bottom);
    }
  }
  return bottom;
}
