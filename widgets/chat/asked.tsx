/** What stands before the next question: system prompt and tools, where they come from, and what differs from the training. */
import { Button, Chip, Field, Toggle } from "../lib/controls";
import { useCommand, useTraitValue } from "../lib/model";
import { useDraft } from "../lib/use-draft";

export interface Asked {
  system?: string;
  tools?: string[];
  plain?: boolean;
  /** The system prompt was typed here, so it is not that of the rows. */
  own_system?: boolean;
  /** What the model was trained on is known. */
  known?: boolean;
  trained_system?: string;
  system_words?: string;
  trained_tools?: string[];
  tools_words?: string;
  trained_plain?: boolean;
  /** How many questions of the conversation the next one comes after. */
  earlier?: number;
  /** Every row of the training is a single question, and the next one would not be. */
  single?: boolean;
  notes?: string[];
}

export function AskedPart() {
  const asked = useTraitValue<Asked>("asked");
  const [send] = useCommand();
  const set = (values: object) => send("settings", { values });
  return (
    <section class="chat-asked" aria-label="Before each question">
      {!asked.plain && <SystemPrompt asked={asked} />}
      {!asked.plain && (asked.trained_tools ?? []).length > 0 && (
        <div class="snb-row">
          <Toggle
            label={`Offer the tools ${(asked.trained_tools ?? []).join(", ")}`}
            checked={(asked.tools ?? []).length > 0}
            onChange={(on) => set({ tools: on ? null : false })}
          />
          <span class="snb-muted">as trained: {asked.tools_words}</span>
        </div>
      )}
      {(asked.trained_plain || asked.plain) && (
        <div class="snb-row">
          <Toggle
            label="Go on from the prompt as plain text"
            checked={asked.plain ?? false}
            onChange={(plain) => set({ plain: plain === asked.trained_plain ? null : plain })}
          />
          <span class="snb-muted">
            {asked.trained_plain ? "as trained: on plain text, without a chat template" : "the rows are chats"}
          </span>
        </div>
      )}
      <Notes asked={asked} />
    </section>
  );
}

function SystemPrompt({ asked }: { asked: Asked }) {
  const [send, waiting] = useCommand();
  const [shown, edit, sent] = useDraft(asked.system ?? "", waiting !== null);
  const change = (system: string | null) => {
    sent();
    send("settings", { values: { system } });
  };
  const lines = Math.min(6, Math.max(1, Math.ceil(shown.length / 90), shown.split("\n").length));
  return (
    <Field label="System prompt" help={<Source asked={asked} onReset={() => change(null)} />}>
      {(ids) => (
        <textarea
          {...ids}
          class="snb-input chat-system"
          rows={lines}
          value={shown}
          placeholder="None"
          onInput={(event) => edit(event.currentTarget.value)}
          onChange={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** Where the system prompt comes from, and the way back to that of the rows. */
function Source({ asked, onReset }: { asked: Asked; onReset: () => void }) {
  if (!asked.known) {
    return <>{asked.own_system ? "Yours. " : ""}Put before both conversations.</>;
  }
  if (!asked.own_system) {
    return <>As trained: {asked.system_words}.</>;
  }
  return (
    <span class="snb-row">
      <span>Yours; the training had {asked.trained_system ? "another one" : asked.system_words}.</span>
      <Button kind="quiet" small onClick={onReset}>
        As trained
      </Button>
    </span>
  );
}

function Notes({ asked }: { asked: Asked }) {
  const [send] = useCommand();
  const notes = asked.notes ?? [];
  if (notes.length === 0 && !asked.single) {
    return null;
  }
  return (
    <div class="chat-notes" role="note">
      {notes.map((note) => (
        <p key={note}>
          <Chip tone="warn">Not as trained</Chip> {note}
        </p>
      ))}
      {asked.single && (
        <p>
          <Chip tone="warn">Not as trained</Chip> Every row of the training is a single question; the next one here
          comes after {asked.earlier === 1 ? "another one" : `${asked.earlier} others`}.{" "}
          <Button kind="quiet" small onClick={() => send("begin")}>
            New conversation
          </Button>{" "}
          <Button kind="quiet" small onClick={() => send("settings", { values: { alone: true } })}>
            Ask each on its own
          </Button>
        </p>
      )}
    </div>
  );
}
