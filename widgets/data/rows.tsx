/** The rows, a page at a time: search, edit one, take some out. */
import { useEffect, useState } from "preact/hooks";
import { Button, Chip, Field, Fold, Segmented } from "../lib/controls";
import { count, counted } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { Pager, range } from "../lib/pager";
import { RowParts } from "../lib/row-parts";
import { TextField } from "../lib/text-field";
import { RowEditor } from "./editor";
import type { Asked, Edited, Page, PartOf } from "./types";

export function Rows() {
  const page = useTraitValue<Page | Record<string, never>>("page");
  const parts = useTraitValue<PartOf[]>("parts");
  const edited = useTraitValue<Edited | Record<string, never>>("row");
  const working = useTraitValue<string>("working");
  const [send] = useCommand();
  const [chosen, setChosen] = useState<number[]>([]);
  const at = "rows" in page ? (page as Page) : null;
  // Positions mean other rows once something was taken out.
  useEffect(() => setChosen([]), [at?.all, at?.part, parts]);
  if (at === null) {
    return null;
  }
  const busy = working !== "";
  const go = (begin: number, there: boolean) => (there ? () => send("turn", { begin }) : null);
  return (
    <section class="snb-stack" aria-label="Rows">
      <div class="snb-row">
        <h3>Rows</h3>
        {parts.length > 1 && (
          <Segmented
            label="Which rows"
            value={at.part}
            options={parts.map((part) => [part.id, `${part.title} (${count(part.rows)})`] as const)}
            onChange={(part) => send("show", { part })}
          />
        )}
      </div>
      <Search asked={at.asked} found={at.total} all={at.all} busy={busy} />
      <div class="snb-row">
        <Pager
          label="Pages of rows"
          back={[["Earlier rows", go(at.begin - 1, at.begin > 0)]]}
          shown={at.total === 0 ? "No row" : range(at.begin, at.rows.length, at.total)}
          on={[["Later rows", go(at.begin + at.rows.length, at.begin + at.rows.length < at.total)]]}
        />
        <span class="snb-push">
          <Button small disabled={busy || chosen.length === 0} onClick={() => send("remove", { rows: chosen })}>
            {chosen.length === 0 ? "Take out" : `Take out ${counted(chosen.length, "row")}`}
          </Button>
        </span>
      </div>
      <div class="snb-tablewrap data-rows">
        <table class="snb-table" aria-label="Rows of the page">
          <thead>
            <tr>
              <th scope="col">
                <span class="snb-hidden">Chosen</span>
              </th>
              <th scope="col">No.</th>
              <th scope="col">Row</th>
              <th scope="col">
                <span class="snb-hidden">Edit</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {at.rows.map((row) => (
              <tr key={row.index} class={"index" in edited && edited.index === row.index ? "is-open" : ""}>
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Choose row ${row.number}`}
                    checked={chosen.includes(row.index)}
                    onChange={(event) =>
                      setChosen(
                        event.currentTarget.checked
                          ? [...chosen, row.index]
                          : chosen.filter((each) => each !== row.index),
                      )
                    }
                  />
                </td>
                <th scope="row">{row.number}</th>
                <td class="data-said">
                  {row.bad && (
                    <p>
                      <Chip tone="warn">can't be used</Chip> {row.bad}
                    </p>
                  )}
                  <RowParts parts={row.parts} />
                </td>
                <td>
                  <Button
                    small
                    kind="quiet"
                    aria-label={`Edit row ${row.number}`}
                    onClick={() => send("edit", { index: row.index })}
                  >
                    Edit
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {"index" in edited && <RowEditor key={`${edited.part} ${edited.index}`} row={edited as Edited} busy={busy} />}
    </section>
  );
}

const ROLES = ["", "system", "user", "assistant", "tool"];
const LENGTHS = [
  ["min_characters", "Characters, at least"],
  ["max_characters", "Characters, at most"],
  ["min_tokens", "Tokens, at least"],
  ["max_tokens", "Tokens, at most"],
] as const;

function Search({ asked, found, all, busy }: { asked: Asked; found: number; all: number; busy: boolean }) {
  const [send] = useCommand();
  const [draft, setDraft] = useState<Record<string, string>>({});
  const said = JSON.stringify(asked);
  useEffect(
    () => setDraft(Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, String(value)]))),
    [said],
  );
  const set = (name: string) => (value: string) => setDraft({ ...draft, [name]: value });
  const is = Object.keys(asked).length > 0;
  return (
    <form
      class="snb-stack data-line"
      aria-label="Find rows"
      onSubmit={(event) => {
        event.preventDefault();
        send("find", draft);
      }}
    >
      <TextField label="Rows that say" value={draft.text ?? ""} onValue={set("text")}>
        <Button type="submit">Find</Button>
        <Button kind="quiet" disabled={!is} onClick={() => send("find")}>
          All rows
        </Button>
      </TextField>
      <Fold summary="By role and length">
        <div class="data-two">
          <Field label="A message by">
            {(ids) => (
              <select
                {...ids}
                class="snb-select"
                value={draft.role ?? ""}
                onChange={(event) => set("role")(event.currentTarget.value)}
              >
                {ROLES.map((role) => (
                  <option key={role} value={role}>
                    {role || "anybody"}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {LENGTHS.map(([name, label]) => (
            <TextField key={name} label={label} digits value={draft[name] ?? ""} onValue={set(name)} />
          ))}
        </div>
      </Fold>
      {is && (
        <div class="snb-row">
          <span>
            {count(found)} of {counted(all, "row")} found.
          </span>
          <Button small disabled={busy || found === 0} onClick={() => send("keep_found")}>
            Keep only these
          </Button>
          <Button small disabled={busy || found === 0} onClick={() => send("keep_found", { inverse: true })}>
            Take these out
          </Button>
        </div>
      )}
    </form>
  );
}
