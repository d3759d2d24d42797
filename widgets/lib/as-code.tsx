/** "Copy as code": what the panel does, as a cell; folded, with a choice where there are several kinds of code. */
import { useState } from "preact/hooks";
import { Fold, Segmented } from "./controls";
import { CodeBlock } from "./copy-code";
import { useTraitValue } from "./model";

interface AsCodeProps {
  /** Names the block and its copy button. */
  title: string;
  /** Kinds of code in the `code` trait, the first one is shown first. */
  kinds?: readonly (readonly [kind: string, text: string])[];
  /** Shown while there is no code. */
  missing: string;
}

export function AsCode({ title, kinds = [["python", "Python"]], missing }: AsCodeProps) {
  const code = useTraitValue<Record<string, string>>("code");
  const [kind, setKind] = useState(kinds[0]?.[0] ?? "");
  const text = code[kind];
  return (
    <Fold summary="Copy as code">
      {text ? (
        <div class="snb-stack">
          {kinds.length > 1 && (
            <div class="snb-row">
              <Segmented label="Kind of code" value={kind} options={kinds} onChange={setKind} />
            </div>
          )}
          <CodeBlock title={title} code={text} />
        </div>
      ) : (
        <p class="snb-muted">{missing}</p>
      )}
    </Fold>
  );
}
