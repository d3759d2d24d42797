/** Sampling, folded; each change goes to the kernel when the control is left. */
import type { ComponentChildren } from "preact";
import { Field, Fold, Slider, Toggle } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";

export interface Settings {
  system: string | null;
  /** Each question begins a conversation. */
  alone: boolean;
  temperature: number;
  top_p: number;
  max_new_tokens: number;
  seed: number | null;
  stop: string[];
  compare: boolean;
  /** Whether to think before the answer; null is what the model was trained with. */
  thinking?: boolean | null;
}

export function SettingsFold({ canCompare, canThink }: { canCompare: boolean; canThink?: boolean }) {
  const settings = useTraitValue<Settings>("settings");
  const [send] = useCommand();
  return (
    <Fold summary="Sampling">
      <div class="snb-stack">
        <div class="snb-row chat-sliders">
          <SliderSetting
            name="temperature"
            label="Temperature"
            value={settings.temperature}
            min={0}
            max={2}
            format={(value) => (value === 0 ? "greedy" : value.toFixed(2))}
          />
          <SliderSetting
            name="top_p"
            label="Top p"
            value={settings.top_p}
            min={0.05}
            max={1}
            format={(value) => value.toFixed(2)}
          />
        </div>
        <div class="chat-three">
          <TextSetting
            name="max_new_tokens"
            value={String(settings.max_new_tokens)}
            label="Longest answer"
            unit="tokens"
            type="number"
          />
          <TextSetting
            name="seed"
            value={String(settings.seed ?? "")}
            label="Seed"
            help="The same for both sides. Empty: a new one for each prompt."
            placeholder="new each time"
          />
          <TextSetting
            name="stop"
            value={settings.stop.join("\n")}
            label="Stop at"
            help="Strings that end an answer, one a line."
            rows={1}
          />
        </div>
        {canThink && <ThinkingSetting value={settings.thinking ?? null} />}
        <Toggle
          label={canCompare ? "Let the base answer as well" : "Let the base answer as well (once something is trained)"}
          checked={settings.compare}
          onChange={(compare) => send("settings", { values: { compare } })}
        />
        <Toggle
          label="Ask each question on its own, without what was said before"
          checked={settings.alone}
          onChange={(alone) => send("settings", { values: { alone } })}
        />
      </div>
    </Fold>
  );
}

function ThinkingSetting({ value }: { value: boolean | null }) {
  const [send] = useCommand();
  const shown = value === null ? "" : String(value);
  return (
    <Field label="Think before the answer" help="The model's chat template knows this.">
      {(ids) => (
        <select
          {...ids}
          class="snb-input"
          value={shown}
          onChange={(event) => {
            const chosen = event.currentTarget.value;
            send("settings", { values: { thinking: chosen === "" ? null : chosen === "true" } });
          }}
        >
          <option value="">as trained</option>
          <option value="true">yes</option>
          <option value="false">no</option>
        </select>
      )}
    </Field>
  );
}

interface TextProps {
  name: keyof Settings;
  value: string;
  label: string;
  help?: ComponentChildren;
  unit?: string;
  placeholder?: string;
  /** Given for several lines. */
  rows?: number;
  type?: "number";
}

function TextSetting({ name, value, label, help, unit, placeholder, rows, type }: TextProps) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(value, waiting !== null);
  const shared = {
    value: shown,
    placeholder,
    onInput: (event: { currentTarget: { value: string } }) => edit(event.currentTarget.value),
    onChange: (event: { currentTarget: { value: string } }) => {
      sent();
      send("settings", { values: { [name]: event.currentTarget.value } });
    },
  };
  return (
    <Field label={label} help={help} unit={unit}>
      {(ids) => {
        if (rows !== undefined) {
          return <textarea {...ids} {...shared} class={`snb-input${rows === 1 ? " chat-stop" : ""}`} rows={rows} />;
        }
        if (type === "number") {
          return <input {...ids} {...shared} class="snb-input" type="number" min={1} />;
        }
        return <input {...ids} {...shared} class="snb-input" type="text" inputMode="numeric" />;
      }}
    </Field>
  );
}

interface SliderProps {
  name: keyof Settings;
  label: string;
  value: number;
  min: number;
  max: number;
  format: (value: number) => string;
}

function SliderSetting({ name, value, ...rest }: SliderProps) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(value, waiting !== null);
  const change = (next: number) => {
    edit(next);
    sent();
    send("settings", { values: { [name]: next } });
  };
  return <Slider {...rest} value={shown} step={0.05} onInput={change} />;
}
