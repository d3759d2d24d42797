/** The first part of the form: data, what is in it, and what is evaluated on. */
import { Columns } from "../lib/columns";
import { Button, Chip, Fold, Segmented } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { RowParts } from "../lib/row-parts";
import { useDraft } from "../lib/use-draft";
import { Inspector } from "./inspector";
import { FormPart, Picker } from "./picker";
import { TextChoice } from "./text-choice";
import type { Choices, DataState, EvalState } from "./types";

export function DataPart() {
  const choices = useTraitValue<Choices>("choices").data ?? [];
  const data = useTraitValue<DataState>("data_state");
  const [send] = useCommand();
  return (
    <FormPart name="data" title="Data" chosen={<Summary data={data} />}>
      <div class="train-two">
        <Picker
          label="Data set"
          empty="Choose data…"
          choices={choices}
          value={data.choice ?? ""}
          onChange={(choice) => send("choose_data", { choice })}
        />
        <TextChoice
          label="Or a file"
          placeholder="data/train.jsonl, .json, .csv, .parquet"
          action="Open"
          onSubmit={(path) => send("choose_data", { choice: `file:${path}` })}
        />
      </div>
      {data.error && <ErrorCard error={data.error} />}
      <Columns data={data} failed={data.stage === "failed"} />
      {data.stage === "ready" && (
        <>
          <Preview data={data} />
          <BadRows data={data} />
          <Inspector rows={data.rows ?? 0} />
          <Evaluation choices={choices.filter((choice) => choice.id !== data.choice)} />
        </>
      )}
    </FormPart>
  );
}

function Summary({ data }: { data: DataState }) {
  const [send] = useCommand();
  return (
    <span class="snb-row snb-push">
      {data.stage === "loading" && <Chip tone="accent">Checking data</Chip>}
      {data.stage === "ready" && (
        <>
          <Chip>{data.format}</Chip>
          <span>{count(data.rows)} rows</span>
          {data.bad_count ? <Chip tone="warn">{count(data.bad_count)} can't be used</Chip> : null}
          {unread(data) > 0 && <Chip>{count(unread(data))} not read</Chip>}
        </>
      )}
      <Button kind="quiet" small onClick={() => send("refresh")} aria-label="Look for new variables and methods">
        Refresh
      </Button>
    </span>
  );
}

function unread(data: DataState): number {
  return (data.columns ?? []).filter((column) => column.unread !== null).length;
}

function Preview({ data }: { data: DataState }) {
  return (
    <Fold summary="First rows">
      <ol class="snb-rows">
        {(data.preview ?? []).map((parts, row) => (
          <li key={row}>
            <RowParts parts={parts} />
          </li>
        ))}
      </ol>
    </Fold>
  );
}

function BadRows({ data }: { data: DataState }) {
  const bad = data.bad ?? [];
  if (bad.length === 0) {
    return null;
  }
  const more = (data.bad_count ?? 0) - bad.length;
  return (
    <Fold summary={`${count(data.bad_count)} ${data.bad_count === 1 ? "row" : "rows"} left out: can't be used`}>
      <ul class="train-bad">
        {bad.map((row) => (
          <li key={`${row.place} ${row.row}`}>
            <b>
              {row.place} {row.row}
            </b>{" "}
            {row.reason}
          </li>
        ))}
        {more > 0 && <li class="snb-muted">and {count(more)} more: dataset.report</li>}
      </ul>
    </Fold>
  );
}

const KINDS = [
  ["none", "None"],
  ["auto", "10%, held back"],
  ["share", "Another share"],
  ["data", "Other data"],
] as const;

function Evaluation({ choices }: { choices: NonNullable<Choices["data"]> }) {
  const state = useTraitValue<EvalState>("eval_state");
  const [send] = useCommand();
  const choose = (how: string, more: object = {}) => send("choose_eval", { how, ...more });
  return (
    <div class="snb-stack">
      <div class="snb-row">
        <span class="train-label">Evaluate on</span>
        <Segmented label="Evaluate on" value={state.kind} options={KINDS} onChange={(kind) => choose(kind)} />
        {state.kind === "share" && <Share value={Math.round((state.share ?? 0.1) * 100)} />}
      </div>
      {state.kind === "data" && (
        <Picker
          label="Evaluation data"
          empty="Choose data…"
          choices={choices}
          value={state.choice ?? ""}
          onChange={(choice) => choose("data", { choice })}
          help={state.rows === undefined ? undefined : `${count(state.rows)} rows`}
        />
      )}
      {state.error && <ErrorCard error={state.error} />}
    </div>
  );
}

function Share({ value }: { value: number }) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(String(value), waiting !== null);
  return (
    <label class="snb-row">
      <input
        class="snb-input train-short"
        type="number"
        min={1}
        max={50}
        value={shown}
        onInput={(event) => edit(event.currentTarget.value)}
        onChange={(event) => {
          sent();
          send("choose_eval", { how: "share", share: Number(event.currentTarget.value) / 100 });
        }}
      />
      % of the rows
    </label>
  );
}
