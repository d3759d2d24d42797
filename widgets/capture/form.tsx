/** What a new recording is started with: an upstream, a loaded model, or both; the rest is folded. */
import { useState } from "preact/hooks";
import { Button, Chip, Field, Fold, Toggle } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";
import { urlProblem, variableProblem } from "./checks";
import type { Choices, Form, Recording } from "./types";

const RULES: Record<string, string> = {
  email: "E-mail",
  phone: "Phone",
  card: "Card",
  iban: "IBAN",
  address: "Address",
  key: "Keys",
};

export function StartForm() {
  const form = useTraitValue<Form>("form");
  const choices = useTraitValue<Choices>("choices");
  const { stage } = useTraitValue<Recording>("recording");
  const [send] = useCommand();
  const [wrong, setWrong] = useState<Record<string, boolean>>({});
  const starting = stage === "starting";
  const set = (values: Partial<Form>) => send("set", { values });
  const mark = (name: string) => (bad: boolean) => setWrong((before) => ({ ...before, [name]: bad }));
  const blocked = Object.values(wrong).some(Boolean) || (form.url === "" && form.model === "");
  return (
    <div class="snb-stack">
      <p class="snb-muted">
        Your agent keeps its code. Two environment variables send its calls through here, and each call is recorded as
        it passes.
      </p>
      <div class="capture-two">
        <TextField
          name="url"
          label="Base URL of the model's API"
          help="Where calls go on to. The key is read from the environment of the kernel."
          value={form.url}
          check={urlProblem}
          onWrong={mark("url")}
        />
        <Field label="Loaded model" help="Answers requests that name it, alone or beside the URL.">
          {(ids) => (
            <select
              {...ids}
              class="snb-select"
              value={form.model}
              onChange={(event) => set({ model: event.currentTarget.value })}
            >
              <option value="">none</option>
              {choices.models.map(({ id, title }) => (
                <option key={id} value={id}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <div class="snb-row">
        {Object.entries(choices.keys).map(([name, there]) => (
          <Chip key={name} tone={there ? "good" : "plain"}>
            {name}: {there ? "set" : "not set"}
          </Chip>
        ))}
        <Button kind="quiet" small onClick={() => send("refresh")}>
          Look again
        </Button>
      </div>
      <Fold summary="More options">
        <div class="snb-stack">
          <div class="capture-two">
            <TextField
              name="api_key_env"
              label="Variable with the key"
              help="Where it is not one of the two above."
              value={form.api_key_env}
              check={variableProblem}
              onWrong={mark("api_key_env")}
            />
            <TextField
              name="name"
              label="Record under this name"
              help="Goes on with what it holds. Empty: named by the time."
              value={form.name}
            />
          </div>
          <fieldset class="capture-rules">
            <legend>Take out of what is recorded (never out of what passes through)</legend>
            {Object.entries(RULES).map(([rule, title]) => (
              <Toggle
                key={rule}
                label={title}
                checked={form.redact.includes(rule)}
                onChange={(on) => set({ redact: on ? [...form.redact, rule] : form.redact.filter((r) => r !== rule) })}
              />
            ))}
          </fieldset>
          <Toggle
            label="Keep recording when the kernel ends (a process of its own)"
            checked={form.process}
            onChange={(process) => set({ process })}
          />
        </div>
      </Fold>
      <div class="snb-row">
        <Button kind="primary" onClick={() => send("start")} disabled={blocked || starting}>
          {starting ? "Starting" : "Start recording"}
        </Button>
      </div>
    </div>
  );
}

interface TextFieldProps {
  name: keyof Form;
  label: string;
  help: string;
  value: string;
  check?: (text: string) => string | undefined;
  onWrong?: (bad: boolean) => void;
}

function TextField({ name, label, help, value, check = () => undefined, onWrong = () => {} }: TextFieldProps) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(value, waiting !== null);
  const input = (text: string) => {
    edit(text);
    onWrong(check(text.trim()) !== undefined);
  };
  const change = (text: string) => {
    if (check(text) === undefined) {
      sent();
      send("set", { values: { [name]: text } });
    }
  };
  return (
    <Field label={label} help={help} error={check(shown.trim())}>
      {(ids) => (
        <input
          {...ids}
          class="snb-input"
          type="text"
          value={shown}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => input(event.currentTarget.value)}
          onChange={(event) => change(event.currentTarget.value.trim())}
        />
      )}
    </Field>
  );
}
