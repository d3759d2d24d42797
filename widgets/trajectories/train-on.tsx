/** Episodes as rows to train on: all that the search finds, or the open one. Only in a Studio, which has a Train tab. */
import { Button } from "../lib/controls";
import { counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import type { Conversation, Page } from "./types";

export function TrainOn() {
  const trainable = useTraitValue<boolean | undefined>("trainable") ?? false;
  const total = useTraitValue<Page>("page").total ?? 0;
  const open = "id" in useTraitValue<Conversation | Record<string, never>>("conversation");
  const [send, waiting] = useCommand();
  return !trainable || total === 0 ? null : (
    <div class="snb-row">
      <Button disabled={waiting !== null} onClick={() => send("train")}>
        {`Train on ${total === 1 ? "this episode" : `these ${counted(total, "episode")}`}`}
      </Button>
      {open && total > 1 && (
        <Button disabled={waiting !== null} onClick={() => send("train", { only_open: true })}>
          Train on the open one alone
        </Button>
      )}
    </div>
  );
}
