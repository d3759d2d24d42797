/** One set of curves for each model, shared by its views, and kept while a view is closed. */
import type { Model } from "../lib/model";
import { sendCommand } from "../lib/model";
import { Curves, type Delta, type Snapshot } from "./curves";

const stores = new Map<string, Curves>();

const RESYNC_INTERVAL_MS = 2000;

export function curvesOf(model: Model): Curves {
  const key = model.get("panel_id") as string;
  let curves = stores.get(key);
  if (curves === undefined) {
    let askedAt = Number.NEGATIVE_INFINITY;
    curves = new Curves(() => {
      if (performance.now() - askedAt > RESYNC_INTERVAL_MS) {
        askedAt = performance.now();
        sendCommand(model, "resync");
      }
    });
    stores.set(key, curves);
  }
  return curves;
}

/** Follow the model from the moment it exists, whether or not it is shown. */
export function follow(model: Model): () => void {
  const curves = curvesOf(model);
  const onSnapshot = () => curves.replace(model.get("snapshot") as Snapshot);
  const onDelta = () => curves.grow(model.get("delta") as Delta);
  const first = model.get("snapshot") as Snapshot;
  curves.replace(first);
  // Between the model's creation and this code messages may have come: the last of each kind is still in the model.
  onDelta();
  if (first.full !== true) {
    sendCommand(model, "resync");
  }
  model.on("change:snapshot", onSnapshot);
  model.on("change:delta", onDelta);
  return () => {
    model.off("change:snapshot", onSnapshot);
    model.off("change:delta", onDelta);
    stores.delete(model.get("panel_id") as string);
  };
}
