/** System prompt and sampling, folded; each change goes to the kernel when the control is left. */
import { Field, Fold, Slider, Toggle } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";

export interface Settings {
  system: string;
  temperature: number;
  top_p: number;
  max_new_tokens: number;
  seed: number | null;
  stop: string[];
  compare: boolean;
}

export function SettingsFold({ canCompare }: { canCompare: boolean }) {
  const settings = useTraitValue<Settings>("settings");
  const [send] = useCommand();
  const change = (values: Partial<Record<keyof Settings, unknown>>) => send("settings", { values });
  return (
    <Fold summary="System prompt and sampling">
      <div class="snb-stack">
        <Field label="System prompt" help="Put before both conversations.">
          {(ids) => (
            <textarea
              {...ids}
              class="snb-input"
              rows={3}
              value={settings.system}
              onChange={(event) => change({ system: event.currentTarget.value })}
            />
          )}
        </Field>
        <div class="snb-row chat-sliders">
          <Slider
            label="Temperature"
            value={settings.temperature}
            min={0}
            max={2}
            step={0.05}
            format={(value) => (value === 0 ? "greedy" : value.toFixed(2))}
            onInput={(temperature) => change({ temperature })}
          />
          <Slider
            label="Top p"
            value={settings.top_p}
            min={0.05}
            max={1}
            step={0.05}
            format={(value) => value.toFixed(2)}
            onInput={(top_p) => change({ top_p })}
          />
        </div>
        <div class="chat-three">
          <Field label="Longest answer" unit="tokens">
            {(ids) => (
              <input
                {...ids}
                class="snb-input"
                type="number"
                min={1}
                value={settings.max_new_tokens}
                onChange={(event) => change({ max_new_tokens: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Seed" help="The same for both sides. Empty: a new one for each prompt.">
            {(ids) => (
              <input
                {...ids}
                class="snb-input"
                inputMode="numeric"
                placeholder="new each time"
                value={settings.seed ?? ""}
                onChange={(event) => change({ seed: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Stop at" help="Strings that end an answer, one a line.">
            {(ids) => (
              <textarea
                {...ids}
                class="snb-input chat-stop"
                rows={1}
                value={settings.stop.join("\n")}
                onChange={(event) => change({ stop: event.currentTarget.value })}
              />
            )}
          </Field>
        </div>
        <Toggle
          label={canCompare ? "Let the base answer as well" : "Let the base answer as well (once something is trained)"}
          checked={settings.compare}
          onChange={(compare) => change({ compare })}
        />
      </div>
    </Fold>
  );
}
