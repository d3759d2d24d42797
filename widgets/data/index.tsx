/** The Data panel: open rows, say what their columns are, look, mend, split, and train on them. */
import { useEffect } from "preact/hooks";
import { AsCode } from "../lib/as-code";
import { CommandError } from "../lib/command-error";
import { Chip } from "../lib/controls";
import { count } from "../lib/format";
import { useCommand, useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { StatusLine } from "../lib/status-line";
import { HowColumnsAreRead } from "./columns";
import { Opening } from "./opening";
import { Out } from "./out";
import { Rows } from "./rows";
import { Steps } from "./steps";
import { Tidy } from "./tidy";
import { TokensPart } from "./tokens";
import type { HowRead, PartOf, Source } from "./types";
import "./data.css";

function DataPanel() {
  const source = useTraitValue<Source>("source");
  const parts = useTraitValue<PartOf[]>("parts");
  const reading = useTraitValue<HowRead>("reading");
  const working = useTraitValue<string>("working");
  const told = useTraitValue<string>("told");
  const [send] = useCommand();
  useEffect(() => {
    send("refresh");
  }, []);
  const open = parts.length > 0;
  const refused = parts.reduce((sum, part) => sum + part.rows - part.valid, 0);
  return (
    <div class="snb-stack">
      <div class="snb-row">
        <h2>Data</h2>
        {source.stage === "loading" && <Chip tone="accent">Reading</Chip>}
        {open && (
          <>
            <b>{source.name}</b>
            <Chip>{reading.format ?? ""}</Chip>
            {parts.map((part) => (
              <span key={part.id}>
                {part.title}: {count(part.rows)}
              </span>
            ))}
            {refused > 0 && !reading.raw && <Chip tone="warn">{count(refused)} can't be used</Chip>}
          </>
        )}
      </div>
      <Opening open={!open} />
      <CommandError />
      <StatusLine hidden={!working && !told}>{working ? `${working} …` : told}</StatusLine>
      {open && (
        <>
          <HowColumnsAreRead />
          <Rows />
          <Tidy />
          <Steps />
          <TokensPart />
          <Out />
          <AsCode title="does the same" missing="Open data first." />
        </>
      )}
    </div>
  );
}

export default definePanel(DataPanel, { label: "Data" });
