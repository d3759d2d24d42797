/** The models to choose from: what each is, whether it fits before it is downloaded, what lies on the disk and in memory. */
import { useState } from "preact/hooks";
import { Button, Chip, Fold, Progress } from "../lib/controls";
import { count, gigabytes, MISSING } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Account, type AccountState } from "./account";
import { Held, type HeldModel } from "./held";

interface Entry {
  name: string;
  title: string;
  hub_id: string;
  parameters: number;
  download_gb: number;
  licence: string;
  gated: boolean;
  context: number;
  tools: string;
  thinking: string;
  there: "here" | "partly here" | "to download";
  disk_gb: number | null;
  fits: "whole" | "4bit" | "none";
  reason: string;
  /** Figures that could not be compared with a published source. */
  unchecked: string[];
}

/** A model on its way; share is null while the hub is being asked. */
interface Fetched {
  hub_id: string;
  words: string;
  share: number | null;
}

interface Shelf {
  entries?: Entry[];
  others?: { hub_id: string; disk_gb: number; whole: boolean }[];
  held?: HeldModel[];
  free_gb?: number;
  account?: AccountState;
  /** Why nothing can be fetched, or empty. */
  offline?: string;
}

export function ShelfPart() {
  const shelf = useTraitValue<Shelf | undefined>("shelf") ?? {};
  const [send] = useCommand();
  return (
    <section class="train-wide" aria-label="What fits, disk and memory">
      <Fold
        summary="All models: what fits, disk and memory"
        onToggle={(open) => {
          if (open) send("look_at_models");
        }}
      >
        {shelf.entries === undefined ? (
          <p class="snb-muted">Looking at the disk…</p>
        ) : (
          <div class="snb-stack">
            {shelf.offline && <p class="snb-muted">{shelf.offline}</p>}
            <Catalogue entries={shelf.entries} offline={shelf.offline ?? ""} />
            <Fetching />
            <Held held={shelf.held ?? []} />
            <Others others={shelf.others ?? []} free={shelf.free_gb ?? 0} />
            {shelf.account && <Account account={shelf.account} offline={shelf.offline ?? ""} />}
          </div>
        )}
      </Fold>
    </section>
  );
}

const FITS = { whole: ["good", "Fits"], "4bit": ["accent", "Fits in 4 bits"], none: ["warn", "Too large"] } as const;

function Catalogue({ entries, offline }: { entries: Entry[]; offline: string }) {
  const [send, waiting] = useCommand();
  const going = (useTraitValue<Fetched[] | undefined>("fetching") ?? []).map((each) => each.hub_id);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <section class="snb-tablewrap snb-tablewrap--tall" tabIndex={0} aria-label="Catalogue">
      <table class="snb-table">
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col">Trains here</th>
            <th scope="col" class="is-number">
              Weights
            </th>
            <th scope="col">Licence</th>
            <th scope="col" class="is-number">
              Context
            </th>
            <th scope="col">Tools, thinking</th>
            <th scope="col">On the disk</th>
            <th scope="col">Do</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((each) => {
            const [tone, words] = FITS[each.fits];
            return (
              <tr key={each.name}>
                <th scope="row" class="snb-nowrap">
                  {each.title}
                </th>
                <td>
                  <Chip tone={tone}>{words}</Chip> <span class="snb-muted">{each.reason}</span>
                </td>
                <td class="is-number snb-nowrap">{count(each.parameters / 1e6)} M</td>
                <td>
                  {each.licence}
                  {each.gated && <span class="snb-muted">, asked for on the hub</span>}
                </td>
                <td class="is-number">{each.context > 0 ? count(each.context) : MISSING}</td>
                <td>
                  {each.tools || "bundled template"}
                  {each.thinking && `; thinks ${each.thinking}`}
                  {each.unchecked.length > 0 && (
                    <span class="snb-muted"> (not checked: {each.unchecked.join(", ")})</span>
                  )}
                </td>
                <td class="snb-nowrap">
                  {each.there}
                  {each.disk_gb !== null
                    ? `, ${gigabytes(each.disk_gb)}`
                    : each.there === "to download"
                      ? `, ${gigabytes(each.download_gb)}`
                      : ""}
                </td>
                <td class="snb-nowrap">
                  <Button
                    small
                    disabled={waiting !== null}
                    aria-label={`Choose ${each.title}`}
                    onClick={() => send("choose_model", { choice: `alias:${each.name}` })}
                  >
                    Choose
                  </Button>{" "}
                  {each.there !== "here" && (
                    <Button
                      small
                      disabled={waiting !== null || offline !== "" || going.includes(each.hub_id)}
                      aria-label={`Fetch ${each.title}`}
                      onClick={() => send("fetch_model", { name: each.name })}
                    >
                      {each.there === "partly here" ? "Fetch the rest" : "Fetch"}
                    </Button>
                  )}{" "}
                  {each.disk_gb !== null && !going.includes(each.hub_id) && <Forget hubId={each.hub_id} />}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

/** Deleting is asked once more: it is downloaded again only where there is a network. */
function Forget({ hubId }: { hubId: string }) {
  const [sure, setSure] = useState(false);
  const [send, waiting] = useCommand();
  return sure ? (
    <>
      <Button
        small
        kind="danger"
        disabled={waiting !== null}
        aria-label={`Delete ${hubId} for good`}
        onClick={() => {
          setSure(false);
          send("forget_model", { hub_id: hubId });
        }}
      >
        Delete for good
      </Button>
      <Button small onClick={() => setSure(false)}>
        Keep
      </Button>
    </>
  ) : (
    <Button small kind="quiet" aria-label={`Delete ${hubId}`} onClick={() => setSure(true)}>
      Delete
    </Button>
  );
}

/** What is on its way, with how far it is; the rest of the panel can be used meanwhile. */
function Fetching() {
  const going = useTraitValue<Fetched[] | undefined>("fetching") ?? [];
  const [send, waiting] = useCommand();
  return going.length === 0 ? null : (
    <section aria-label="Being fetched">
      {going.map(({ hub_id, words, share }) => (
        <div key={hub_id} class="snb-stack">
          <span class="snb-row">
            <code>{hub_id}</code> <span>{words}</span>
            <Button
              small
              disabled={waiting !== null}
              aria-label={`Stop fetching ${hub_id}`}
              onClick={() => send("stop_fetching", { hub_id })}
            >
              Stop
            </Button>
          </span>
          <Progress label={`Fetching ${hub_id}`} value={share} />
        </div>
      ))}
    </section>
  );
}

function Others({ others, free }: { others: NonNullable<Shelf["others"]>; free: number }) {
  return (
    <section aria-label="Others on the disk">
      <p class="snb-muted">{gigabytes(free)} of the disk are free.</p>
      {others.length > 0 && (
        <ul>
          {others.map(({ hub_id, disk_gb, whole }) => (
            <li key={hub_id}>
              <code>{hub_id}</code>, {gigabytes(disk_gb)}
              {!whole && <Chip tone="warn">not whole</Chip>} <Forget hubId={hub_id} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
