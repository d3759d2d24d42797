/** A row by its parts: who says what, or which column holds what. It is not ours, so never markup. */
import "./row-parts.css";

export interface Part {
  role: string;
  text: string;
}

export function RowParts({ parts }: { parts: Part[] }) {
  return (
    <dl class="snb-rowparts">
      {parts.map((part, index) => (
        <div key={index}>
          <dt>{part.role}</dt>
          <dd>{part.text}</dd>
        </div>
      ))}
    </dl>
  );
}
