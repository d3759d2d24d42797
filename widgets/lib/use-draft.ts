/** What a control shows while its value travels to the kernel and back. */
import { useEffect, useRef, useState } from "preact/hooks";

/**
 * `[shown, edit, sent]` for a control whose value lives in the kernel.
 *
 * `edit(value)` holds what was typed, so that an update of something else does not put the old value back; after
 * `sent()` the kernel's value is shown again as soon as `waiting` (of the command that carries it) has ended.
 */
export function useDraft<T>(value: T, waiting: boolean): [T, (draft: T) => void, () => void] {
  const [draft, setDraft] = useState<{ value: T } | null>(null);
  const isSent = useRef(false);
  useEffect(() => {
    if (!waiting && isSent.current) {
      isSent.current = false;
      setDraft(null);
    }
  }, [waiting]);
  const edit = (next: T) => {
    isSent.current = false;
    setDraft({ value: next });
  };
  const sent = () => {
    isSent.current = true;
  };
  return [draft === null ? value : draft.value, edit, sent];
}
