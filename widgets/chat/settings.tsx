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
  /** What the chat template is told; null is what the model was trained with. */
  enable_thinking?: boolean | null;
  reasoning_effort?: string | null;
}

/** What the chat template can be told, each with the values to choose from. */
export interface TemplateOptions {
  enable_thinking?: boolean[];
  reasoning_effort?: string[];
}

interface FoldProps {
  canCompare: boolean;
  templateOptions: TemplateOptions;
}

export function SettingsFold({ canCompare, templateOptions }: FoldProps) {
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
        {Object.keys(templateOptions).length > 0 && (
          <div class="chat-three">
            <TemplateSetting name="enable_thinking" label="Think before the answer" offered={templateOptions} />
            <TemplateSetting name="reasoning_effort" label="Reasoning effort" offered={templateOptions} />
          </div>
        )}
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

interface TemplateProps {
  name: keyof TemplateOptions;
  label: string;
  offered: TemplateOptions;
}

function TemplateSetting({ name, label, offered }: TemplateProps) {
  const [send] = useCommand();
  const chosen = useTraitValue<Settings>("settings")[name];
  const values = ["as trained", ...(offered[name] ?? [])];
  if (values.length === 1) {
    return null;
  }
  const at = Math.max(0, chosen == null ? 0 : values.indexOf(chosen));
  return (
    <Field label={label} help="The model's chat template knows this.">
      {(ids) => (
        <select
          {...ids}
          class="snb-input"
          value={String(at)}
          onChange={(event) => {
            const now = Number(event.currentTarget.value);
            send("settings", { values: { [name]: now === 0 ? null : values[now] } });
          }}
        >
          {values.map((value, index) => (
            <option key={String(value)} value={String(index)}>
              {value === true ? "yes" : value === false ? "no" : value}
            </option>
          ))}
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
