/** The second part of the form: model, how it is loaded, and the hardware that was found. */

import { Button, Chip, Progress, Segmented } from "../lib/controls";
import { ErrorCard } from "../lib/error-card";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { StatusLine } from "../lib/status-line";
import { useId } from "../lib/use-id";
import { ShortOfRoom } from "./held";
import { FormPart, Picker } from "./picker";
import { StartFromPart } from "./start-from";
import { TextChoice } from "./text-choice";
import type { Choices, Device, Hardware, LoadOptions, ModelState, RunStateInfo } from "./types";

const PRECISION = [
  ["", "16 or 32 bits"],
  ["8bit", "8 bits"],
  ["4bit", "4 bits"],
] as const;

export function ModelPart() {
  const choices = useTraitValue<Choices>("choices").models ?? [];
  const model = useTraitValue<ModelState>("model_state");
  const run = useTraitValue<RunStateInfo>("run_state");
  const [send] = useCommand();
  const options = model.load_options ?? {};
  const backends = useTraitValue<Hardware>("hardware").backends ?? [];
  const change = (changed: LoadOptions) => send("load_options", { ...options, ...changed });
  const inMemory = model.choice === "given" || /^(var|copy):/.test(model.choice ?? "");
  const note = choices.find((choice) => choice.id === model.choice)?.note;
  return (
    <FormPart name="model" title="Model" chosen={<Summary model={model} />}>
      <div class="train-two">
        <Picker
          label="Model"
          empty="Choose a model…"
          choices={choices}
          value={model.choice ?? ""}
          onChange={(choice) => send("choose_model", { choice })}
          help={note}
        />
        <TextChoice
          label="Or a folder or hub id"
          placeholder="./my-model, org/name, run id"
          action="Use"
          onSubmit={(name) => send("choose_model", { choice: `path:${name}` })}
        />
      </div>
      {model.stage !== "none" && !inMemory && backends.length > 1 && (
        <div class="snb-row">
          <span class="train-label">Compute with</span>
          <Segmented
            label="Compute with"
            value={options.backend ?? ""}
            options={[["", "whichever is best here"], ...backends.map((name) => [name, name] as const)]}
            disabled={model.stage === "loading"}
            onChange={(backend) => change({ backend })}
          />
        </div>
      )}
      {model.stage !== "none" && !inMemory && (
        <div class="snb-row">
          <span class="train-label">Hold the base in</span>
          <Segmented
            label="Hold the base in"
            value={(options.quantize ?? "") as "" | "8bit" | "4bit"}
            options={PRECISION}
            disabled={model.stage === "loading"}
            onChange={(quantize) => change({ quantize })}
          />
          {(model.stage === "chosen" || model.stage === "failed") && (
            <Button kind="primary" onClick={() => send("load_model")}>
              {model.stage === "failed" ? "Try again" : "Load"}
            </Button>
          )}
        </div>
      )}
      <ShortOfRoom />
      <StatusLine hidden={model.stage !== "loading"}>{model.stage === "loading" ? model.phase : ""}</StatusLine>
      {model.stage === "loading" && <Progress label={model.phase ?? "Loading"} value={null} />}
      {model.error && <ErrorCard error={model.error} />}
      {model.stage === "ready" && <StartFromPart disabled={run.stage === "starting" || run.stage === "active"} />}
      <Devices
        chosen={(model.stage === "ready" ? model.device : options.device) ?? ""}
        fixed={Boolean(inMemory) || model.stage === "ready"}
        onChange={(device) => change({ device })}
      />
    </FormPart>
  );
}

function Summary({ model }: { model: ModelState }) {
  if (model.stage !== "ready") {
    return null;
  }
  return (
    <span class="snb-row snb-push">
      <Chip tone="good">Loaded</Chip>
      <span>
        {model.name}, {count((model.parameters ?? 0) / 1e6)} M weights, {model.quantization ?? model.dtype} on{" "}
        {model.device}
      </span>
    </span>
  );
}

interface DevicesProps {
  chosen: string;
  /** The model is in memory, so its device can't be chosen any more. */
  fixed: boolean;
  onChange: (device: string) => void;
}

function Devices({ chosen, fixed, onChange }: DevicesProps) {
  const hardware = useTraitValue<Hardware>("hardware");
  const name = useId();
  const devices = hardware.devices ?? [];
  const selected = (chosen.split(":")[0] || hardware.recommended) ?? "";
  return (
    <fieldset class="train-devices">
      <legend class="train-label">Hardware</legend>
      {devices.length === 0 && <p class="snb-muted">Looking for devices…</p>}
      {devices.map((device) => {
        const open = device.usable && (!fixed || device.kind === selected);
        return (
          <label key={device.kind} class={`train-device${open ? "" : " is-off"}`}>
            <input
              type="radio"
              name={name}
              checked={device.kind === selected}
              disabled={!open}
              onChange={() => onChange(device.kind === hardware.recommended ? "" : device.kind)}
            />
            <span>
              <b>{device.name}</b> {memory(device)}
              {device.kind === hardware.recommended && <Chip tone="accent">recommended</Chip>}{" "}
              <span class="snb-muted">{device.reason}</span>
            </span>
          </label>
        );
      })}
    </fieldset>
  );
}

function memory(device: Device): string {
  if (!device.usable || !device.memory_gb) {
    return "";
  }
  const free = device.free_memory_gb ? `, ${device.free_memory_gb.toFixed(1)} free` : "";
  return `${device.memory_gb.toFixed(1)} GB${free} `;
}
