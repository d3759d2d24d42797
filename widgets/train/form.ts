/** The form's fields: grouping, text of ranges and defaults, and which edits Python has confirmed. */

export interface Field {
  name: string;
  title: string;
  kind: "int" | "float" | "bool" | "str" | "choice" | "list";
  default: unknown;
  help: string;
  group: string;
  group_title: string;
  advanced: boolean;
  unit: string;
  optional: boolean;
  choices: string[];
  /** The kind of functions that it names, where it does. */
  functions?: string;
  minimum: number | null;
  exclusive_minimum: number | null;
  maximum: number | null;
}

export type Value = string | boolean | null;
export type Values = Record<string, Value>;

export interface Group {
  name: string;
  title: string;
  fields: Field[];
}

/** Fields to show, grouped in declaration order; those a method can't honour appear only if set. */
export function groups(
  fields: Field[],
  show: { advanced: boolean; unsupported: Record<string, string>; values: Values },
): Group[] {
  const found = new Map<string, Group>();
  for (const field of fields) {
    const isSet = !isEmpty(show.values[field.name]);
    if (field.advanced !== show.advanced) continue;
    if (field.name in show.unsupported && !isSet) continue;
    const group = found.get(field.group) ?? { name: field.group, title: field.group_title, fields: [] };
    group.fields.push(field);
    found.set(field.group, group);
  }
  return [...found.values()];
}

export const isEmpty = (value: Value | undefined): boolean =>
  value === undefined || value === null || (typeof value === "string" && value.trim() === "");

/** The entries of a list as it is typed, one a line. */
export const linesOf = (text: string): string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

/** The entries with a name added, or taken away where it was there. */
export const toggled = (lines: readonly string[], name: string): string[] =>
  lines.includes(name) ? lines.filter((line) => line !== name) : [...lines, name];

/** What an empty field means: what the method makes of it, else its default. */
export function defaultOf(field: Field, resolved: Record<string, unknown>): unknown {
  return field.name in resolved ? resolved[field.name] : field.default;
}

/** What an empty field means, as its placeholder. */
export function placeholder(field: Field, resolved: Record<string, unknown>): string {
  const value = defaultOf(field, resolved);
  if (value === null || value === undefined) return "automatic";
  if (Array.isArray(value)) return value.length > 0 ? value.join(", ") : "none";
  if (typeof value === "number") return number(value);
  return String(value);
}

/** The allowed range in words; empty where everything goes. */
export function range(field: Field): string {
  const parts: string[] = [];
  if (field.minimum !== null && field.maximum !== null) return `${number(field.minimum)} to ${number(field.maximum)}`;
  if (field.exclusive_minimum !== null) parts.push(`above ${number(field.exclusive_minimum)}`);
  if (field.minimum !== null) parts.push(`${number(field.minimum)} or more`);
  if (field.maximum !== null) parts.push(`at most ${number(field.maximum)}`);
  return parts.join(", ");
}

export const number = (value: number): string =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
    ? value.toExponential().replace("e+", "e")
    : String(value);

/** Seconds as a person says them: an estimate is never finer than it is known. */
export function roughly(seconds: number): string {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `about ${(seconds / 3600).toFixed(seconds < 36000 ? 1 : 0)} h`;
  return `about ${Math.round(seconds / 86400)} days`;
}
