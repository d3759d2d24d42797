/** The Runs panel: all runs in a table, one of them in full, several side by side, and what was deleted. */
import { useEffect, useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Button, Progress, Toggle } from "../lib/controls";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { Columns } from "./columns";
import { Detail } from "./detail";
import { Queue } from "./queue";
import { SideBySide } from "./side-by-side";
import { RunTable } from "./table";
import type { Asked, Opened, Table, Trash } from "./types";
import "./runs.css";

function Runs() {
  const table = useTraitValue<Table | Record<string, never>>("table");
  const opened = useTraitValue<Opened | Record<string, never>>("opened");
  const [send] = useCommand();
  useEffect(() => {
    send("look");
  }, []);
  return (
    <div class="snb-stack">
      <Head />
      <CommandError />
      <Queue />
      <Deleted />
      {"lines" in table ? <Body table={table as Table} /> : <Progress label="Reading the runs" value={null} />}
      {"id" in opened && <Detail run={opened as Opened} />}
      <SideBySide />
      <AsCode title="the same search" missing="" />
    </div>
  );
}

function Head() {
  const asked = useTraitValue<Asked>("asked");
  const [send] = useCommand();
  const [query, setQuery] = useState(asked.query);
  useEffect(() => setQuery(asked.query), [asked.query]);
  return (
    <div class="snb-row">
      <h2>Runs</h2>
      <form
        class="runs-search"
        onSubmit={(event) => {
          event.preventDefault();
          send("ask", { query });
        }}
      >
        <input
          class="snb-input"
          type="search"
          aria-label="Search runs"
          placeholder="Words, method:dpo, loss<0.5, tag:baseline"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <Button type="submit">Search</Button>
      </form>
      <span class="snb-push">
        <Toggle label="Archived" checked={asked.archived} onChange={(archived) => send("ask", { archived })} />
      </span>
    </div>
  );
}

function Body({ table }: { table: Table }) {
  const [send] = useCommand();
  return (
    <>
      {table.problem && (
        <p class="snb-field-error" role="alert">
          {table.problem} All runs are shown.
        </p>
      )}
      {table.reading && (
        <Progress
          label={`Reading runs, ${table.reading[0]} of ${table.reading[1]}`}
          value={table.reading[0] / table.reading[1]}
        />
      )}
      <StatusLine hidden>{`${table.found} runs found`}</StatusLine>
      {table.all === 0 ? (
        <p class="snb-empty snb-muted">
          No run yet. Start one in the Train panel, or with model.train(rows) in a cell.
        </p>
      ) : table.found === 0 ? (
        <p class="snb-empty snb-muted">
          No run is like this. There are {count(table.all)} runs
          {table.hidden > 0 && `, of which ${count(table.hidden)} that are archived would be found`}.{" "}
          <Button small onClick={() => send("ask", { query: "" })}>
            Show all
          </Button>
        </p>
      ) : (
        <RunTable table={table} />
      )}
      <Columns />
    </>
  );
}

function Deleted() {
  const trash = useTraitValue<Trash | Record<string, never>>("trash");
  const [send, waiting] = useCommand();
  const [sure, setSure] = useState(false);
  const there = (trash as Trash).count ?? 0;
  if (there === 0) {
    return null;
  }
  const undo = (trash as Trash).undo;
  return (
    <section class="snb-row runs-trash" aria-label="Deleted runs">
      <StatusLine>
        {undo.length > 0
          ? `Deleted ${undo.length === 1 ? undo[0] : `${undo.length} runs`}.`
          : `${there} deleted ${there === 1 ? "run" : "runs"} can be restored.`}
      </StatusLine>
      {undo.length > 0 ? (
        <Button small disabled={waiting === "restore"} onClick={() => send("restore")}>
          Undo
        </Button>
      ) : (
        <Button small disabled={waiting === "restore"} onClick={() => send("restore", { runs: (trash as Trash).ids })}>
          Restore
        </Button>
      )}
      {sure ? (
        <>
          <Button
            small
            kind="danger"
            onClick={() => {
              setSure(false);
              send("empty_trash");
            }}
          >
            Delete {there === 1 ? "it" : `all ${there}`} for good
          </Button>
          <Button small onClick={() => setSure(false)}>
            Keep
          </Button>
        </>
      ) : (
        <Button small kind="quiet" onClick={() => setSure(true)}>
          Empty trash
        </Button>
      )}
    </section>
  );
}

export default definePanel(Runs, { label: "Runs" });
