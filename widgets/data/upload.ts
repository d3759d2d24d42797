/** Sends a file to the kernel piece by piece: the next one once the kernel says that it has the last. */
import { useCallback } from "preact/hooks";
import { usePanel, useTraitValue } from "../lib/model";
import type { Upload } from "./types";

// Jupyter closes a connection over a message of more than 10 MB.
const PIECE = 1_000_000;

export function bytes(value: number | null): string {
  if (value === null) return "--";
  if (value < 1000) return `${value} bytes`;
  return value < 1e6 ? `${Math.round(value / 1000)} KB` : `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;
}

export function useUpload(): [Upload, (file: File) => void] {
  const { model } = usePanel();
  const state = useTraitValue<Upload>("upload");
  const send = useCallback(
    (file: File) => {
      const id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
      let at = 0;
      const piece = async () => {
        const from = at;
        // One that is too large is refused by what is said of it, before its bytes travel.
        const part = file.slice(from, from + PIECE);
        at += part.size;
        const content = { kind: "upload", id, name: file.name, size: file.size, at: from };
        model.send(content, undefined, [new DataView(await part.arrayBuffer())]);
      };
      const follow = () => {
        const now = model.get("upload") as Upload;
        if (now.id !== id) {
          model.off("change:upload", follow);
        } else if (now.done === at && at < file.size) {
          void piece();
        }
      };
      model.on("change:upload", follow);
      void piece();
    },
    [model],
  );
  return [state, send];
}
