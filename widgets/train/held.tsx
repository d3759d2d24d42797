/** The models in memory: taken out of it, or pinned so that nobody is offered to; and what is short before one is loaded. */
import { Button } from "../lib/controls";
import { gigabytes } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";

export interface HeldModel {
  choice: string;
  title: string;
  gb: number;
  pinned: boolean;
  busy: boolean;
}

export function Held({ held }: { held: HeldModel[] }) {
  const [send, waiting] = useCommand();
  return held.length === 0 ? null : (
    <section aria-label="In memory">
      <b>In memory</b>
      <ul>
        {held.map(({ choice, title, gb, pinned, busy }) => (
          <li key={choice}>
            {title}, {gigabytes(gb)}{" "}
            <Button
              small
              disabled={busy || pinned || waiting !== null}
              aria-label={`Unload ${title}`}
              onClick={() => send("unload_model", { choice })}
            >
              Unload
            </Button>{" "}
            <Button
              small
              kind="quiet"
              disabled={waiting !== null}
              aria-pressed={pinned}
              aria-label={`Pin ${title}`}
              onClick={() => send("pin_model", { choice, pinned: !pinned })}
            >
              {pinned ? "Pinned" : "Pin"}
            </Button>
            {busy && <span class="snb-muted"> a run trains it</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface Short {
  needed_gb?: number;
  free_gb?: number;
  enough?: boolean;
  offers?: { choice: string; title: string; gb: number }[];
}

/** Said before loading: what it takes, what is free, and which models could make room. */
export function ShortOfRoom() {
  const short = useTraitValue<Short | undefined>("room") ?? {};
  const [send, waiting] = useCommand();
  if (short.needed_gb === undefined) {
    return null;
  }
  const offers = short.offers ?? [];
  return (
    <section class="train-room" aria-label="Memory is short">
      <p>
        Loading it takes about {gigabytes(short.needed_gb)}, and {gigabytes(short.free_gb ?? 0)} of memory are free.{" "}
        {offers.length === 0
          ? "Hold the base in fewer bits, or choose a smaller model."
          : short.enough
            ? "Unloading makes room:"
            : "Unloading helps, but is not enough; hold the base in fewer bits as well:"}
      </p>
      {offers.length > 0 && (
        <div class="snb-row">
          {offers.map(({ choice, title, gb }) => (
            <Button key={choice} small disabled={waiting !== null} onClick={() => send("unload_model", { choice })}>
              Unload {title}, {gigabytes(gb)}
            </Button>
          ))}
        </div>
      )}
    </section>
  );
}
