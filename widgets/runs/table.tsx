/** The table: sorted by a click on a heading, with what can be done to the chosen runs above it. */
import { useEffect, useState } from "preact/hooks";
import { Button, Chip, Progress } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { Pager, range } from "../lib/pager";
import type { Asked, Line, Table } from "./types";

const TONES: Partial<Record<string, "accent" | "good" | "warn" | "bad">> = {
  running: "accent",
  queued: "accent",
  paused: "warn",
  succeeded: "good",
  failed: "bad",
  unreadable: "bad",
  interrupted: "warn",
};

export function RunTable({ table }: { table: Table }) {
  const asked = useTraitValue<Asked>("asked");
  const [chosen, choose] = useChosen();
  const opened = useTraitValue<{ id?: string }>("opened").id ?? "";
  const [send] = useCommand();
  const here = table.lines.map(({ id }) => id);
  const all = here.length > 0 && here.every((id) => chosen.includes(id));
  const go = (first: number) => (first < 0 || first >= table.found ? null : () => send("ask", { first }));
  return (
    <>
      {chosen.length > 0 && <Actions chosen={chosen} />}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard */}
      <section class="snb-tablewrap runs-list" tabIndex={0} aria-label="Table of runs">
        <table class="snb-table runs-table">
          <caption class="snb-hidden">Runs; those that go on stand first, then pinned ones</caption>
          <thead>
            <tr>
              <th scope="col">
                <input
                  type="checkbox"
                  aria-label="Choose all runs of this page"
                  checked={all}
                  disabled={here.length > 12}
                  onChange={() => choose(all ? chosen.filter((id) => !here.includes(id)) : here)}
                />
              </th>
              <Heading column="id" title="Run" asked={asked} />
              <Heading column="status" title="Status" asked={asked} />
              <Heading column="tag" title="Tags" asked={asked} />
              {table.columns.map(([key, title]) => (
                <Heading key={key} column={key} title={title} asked={asked} />
              ))}
            </tr>
          </thead>
          <tbody>
            {table.lines.map((line) => (
              <Row
                key={line.id}
                line={line}
                open={line.id === opened}
                chosen={chosen.includes(line.id)}
                onChoose={(on) => choose(on ? [...chosen, line.id] : chosen.filter((id) => id !== line.id))}
              />
            ))}
          </tbody>
        </table>
      </section>
      <Pager
        label="Pages of runs"
        back={[
          ["First", table.first > 0 ? go(0) : null],
          ["Back", go(table.first - table.count)],
        ]}
        shown={range(table.first, table.lines.length, table.found)}
        on={[["On", go(table.first + table.count)]]}
      />
    </>
  );
}

/** The chosen runs as they were clicked, until the kernel has them: several clicks in a row add up. */
function useChosen(): [string[], (runs: string[]) => void] {
  const kept = useTraitValue<string[]>("chosen");
  const [clicked, setClicked] = useState<string[] | null>(null);
  const [send, waiting] = useCommand();
  useEffect(() => {
    if (waiting !== "choose") setClicked(null);
  }, [kept, waiting]);
  const choose = (runs: string[]) => {
    setClicked(runs);
    send("choose", { runs });
  };
  return [clicked ?? kept, choose];
}

function Heading({ column, title, asked }: { column: string; title: string; asked: Asked }) {
  const [send] = useCommand();
  const sorted = asked.sort === column;
  const click = () => send("ask", { sort: column, descending: sorted ? !asked.descending : true });
  return (
    <th scope="col" aria-sort={sorted ? (asked.descending ? "descending" : "ascending") : undefined}>
      <button type="button" class="runs-heading" onClick={click}>
        {title}
        <span aria-hidden="true">{sorted ? (asked.descending ? " ↓" : " ↑") : ""}</span>
      </button>
    </th>
  );
}

interface RowProps {
  line: Line;
  open: boolean;
  chosen: boolean;
  onChoose: (on: boolean) => void;
}

function Row({ line, open, chosen, onChoose }: RowProps) {
  const [send] = useCommand();
  return (
    <tr class={open ? "is-open" : ""}>
      <td>
        <input
          type="checkbox"
          aria-label={`Choose ${line.id}`}
          checked={chosen}
          onChange={(event) => onChoose(event.currentTarget.checked)}
        />
      </td>
      <th scope="row">
        <button type="button" class="runs-open" title={line.note} onClick={() => send("open", { run: line.id })}>
          {line.id}
        </button>
      </th>
      <td>
        <span class="runs-status">
          <Chip tone={TONES[line.status] ?? "plain"}>{line.words}</Chip>
          {line.live && line.share !== null && <Progress label={`${line.id}, done`} value={line.share} />}
          {line.pinned && <span class="snb-muted">pinned</span>}
          {line.archived && <span class="snb-muted">archived</span>}
        </span>
      </td>
      <td>
        <span class="runs-tags">
          {line.tags.map((tag) => (
            <Chip key={tag}>{tag}</Chip>
          ))}
        </span>
      </td>
      {line.cells.map((cell, at) => (
        <td key={at}>{cell || <span class="snb-muted">--</span>}</td>
      ))}
    </tr>
  );
}

function Actions({ chosen }: { chosen: string[] }) {
  const [send, waiting] = useCommand();
  const [tag, setTag] = useState("");
  const table = useTraitValue<Table>("table");
  const lines = table.lines.filter(({ id }) => chosen.includes(id));
  const pinned = lines.length > 0 && lines.every((line) => line.pinned);
  const archived = lines.length > 0 && lines.every((line) => line.archived);
  return (
    <section class="snb-row runs-actions" aria-label="What to do with the chosen runs">
      <strong>{chosen.length} chosen</strong>
      <form
        class="snb-row"
        onSubmit={(event) => {
          event.preventDefault();
          if (tag.trim() !== "") {
            send("mark", { runs: chosen, tag: tag.trim() });
            setTag("");
          }
        }}
      >
        <input
          class="snb-input runs-tag"
          aria-label="Tag to add"
          placeholder="Tag"
          value={tag}
          onInput={(event) => setTag(event.currentTarget.value)}
        />
        <Button small type="submit" disabled={tag.trim() === ""}>
          Add tag
        </Button>
      </form>
      <Button small onClick={() => send("mark", { runs: chosen, pinned: !pinned })}>
        {pinned ? "Unpin" : "Pin"}
      </Button>
      <Button small onClick={() => send("mark", { runs: chosen, archived: !archived })}>
        {archived ? "Take out of the archive" : "Archive"}
      </Button>
      <Button small kind="danger" disabled={waiting === "trash"} onClick={() => send("trash", { runs: chosen })}>
        Delete
      </Button>
      <Button small kind="quiet" onClick={() => send("choose", { runs: [] })}>
        Choose none
      </Button>
    </section>
  );
}
