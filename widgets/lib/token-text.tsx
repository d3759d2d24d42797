/** Tokens as the text they are; trained ones are coloured and underlined, the ids are their titles. */
export type Token = [id: number, text: string, trained: boolean, special?: boolean];

export function TokenText({ tokens }: { tokens: Token[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling block must be reachable by keyboard
    <pre class="snb-tokens" tabIndex={0}>
      {tokens.map(([id, text, trained, special], at) => {
        const shared = { key: at, title: `token ${id}`, class: special ? "is-special" : undefined };
        return trained ? <ins {...shared}>{text}</ins> : <span {...shared}>{text}</span>;
      })}
    </pre>
  );
}
