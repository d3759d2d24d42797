/** A line of text with a button, for what no list holds: a path, a folder, a hub id. */
import { useState } from "preact/hooks";
import { Button, Field } from "../lib/controls";

interface TextChoiceProps {
  label: string;
  placeholder: string;
  action: string;
  onSubmit: (text: string) => void;
}

export function TextChoice({ label, placeholder, action, onSubmit }: TextChoiceProps) {
  const [text, setText] = useState("");
  const submit = () => text.trim() && onSubmit(text.trim());
  return (
    <Field label={label}>
      {(ids) => (
        <div class="train-textchoice">
          <input
            {...ids}
            class="snb-input"
            value={text}
            placeholder={placeholder}
            spellcheck={false}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Enter" && submit()}
          />
          <Button onClick={submit} disabled={text.trim() === ""}>
            {action}
          </Button>
        </div>
      )}
    </Field>
  );
}
