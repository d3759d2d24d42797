/** The Train panel: data, model, method, options; what will run and what it costs; one button that starts it. */
import { useRef, useState } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CertificateCard } from "../lib/certificate";
import { CommandError } from "../lib/command-error";
import { Button } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { useStuck } from "../lib/stuck";
import { DataPart } from "./data";
import type { Field } from "./form";
import { MethodPart } from "./method";
import { ModelPart } from "./model";
import { type Form, OptionsPart } from "./options";
import { PresetPart } from "./preset";
import { ShelfPart } from "./shelf";
import { type StartState, startState } from "./start";
import { Brief, Cost, Plan } from "./summary";
import type { DataState, Estimate, Method, ModelState, RunStateInfo, StartFrom } from "./types";
import "./train.css";

const CODE = [
  ["python", "Python"],
  ["magic", "%%shadow"],
] as const;

function Train() {
  const [send] = useCommand();
  const [pending, setPending] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const go = useRef<HTMLDivElement>(null);
  useStuck(go);
  const start = useStart(pending);
  const run = useTraitValue<RunStateInfo>("run_state");
  const press = () => {
    if (start.ready) {
      send("start");
    } else if (start.goTo && "load" in start.goTo) {
      send("load_model");
    } else if (start.goTo) {
      reveal(root.current, start.goTo);
    }
  };
  return (
    <div class="train" ref={root}>
      <div class="train-form">
        <PresetPart />
        <DataPart />
        <ModelPart />
        <ShelfPart />
        <MethodPart />
        <OptionsPart
          onChange={(values) => send("set", { values })}
          onReset={() => send("reset")}
          onPending={setPending}
        />
      </div>
      <div class="train-side">
        <Plan />
        <CertificateCard />
        <Cost />
      </div>
      <AsCode title="does the same in a cell" kinds={CODE} missing="Choose data and a model first." />
      <div class="train-go" ref={go}>
        <CommandError />
        <Button kind={start.ready || start.goTo ? "primary" : "plain"} aria-disabled={start.busy} onClick={press}>
          {start.label}
        </Button>
        <Brief />
        <StatusLine>{runLine(run)}</StatusLine>
      </div>
    </div>
  );
}

function useStart(pending: boolean): StartState {
  const data = useTraitValue<DataState>("data_state");
  const model = useTraitValue<ModelState>("model_state");
  const method = useTraitValue<string>("method");
  const methods = useTraitValue<Method[]>("methods");
  const fields = useTraitValue<Field[]>("fields");
  const form = useTraitValue<Form>("form");
  const estimate = useTraitValue<Estimate>("estimate");
  const run = useTraitValue<RunStateInfo>("run_state");
  const from = useTraitValue<StartFrom>("start");
  const title = (name: string) => fields.find((field) => field.name === name)?.title ?? "";
  return startState({
    data: data.stage,
    model: model.stage,
    blocked: methods.find((one) => one.name === method)?.blocked ?? null,
    problems: Object.entries(form.problems ?? {}).map(([name, message]) => ({ name, title: title(name), message })),
    pending,
    fits: estimate.fits ?? null,
    run: run.stage,
    from: from.choice ?? "base",
  });
}

function runLine(run: RunStateInfo): string {
  if (run.stage === "active") return `Run ${run.id} is ${run.status}.`;
  if (run.stage === "ended") return `Run ${run.id} ${run.status}.`;
  return "";
}

/** Bring what is missing into view and put the focus there. */
function reveal(root: HTMLElement | null, goTo: { section: string } | { field: string }): void {
  const selector =
    "field" in goTo ? `[data-option="${goTo.field}"]` : `[data-part="${goTo.section}"] :is(select, input)`;
  const target = root?.querySelector<HTMLElement>(selector);
  target?.closest("details")?.setAttribute("open", "");
  target?.scrollIntoView({ block: "center" });
  target?.focus({ preventScroll: true });
}

export default definePanel(Train, { label: "Train" });
