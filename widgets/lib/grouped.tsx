/** Choices by what they belong to. */

export interface Choice {
  id: string;
  title: string;
  group: string;
}

/** The groups in the order of their first members. */
export function groups<T extends Choice>(options: T[]): [string, T[]][] {
  const found = new Map<string, T[]>();
  for (const option of options) {
    found.set(option.group, [...(found.get(option.group) ?? []), option]);
  }
  return [...found];
}

/** The options of a `select`, group by group. */
export function GroupedOptions({ options }: { options: Choice[] }) {
  return (
    <>
      {groups(options).map(([group, members]) => (
        <optgroup key={group} label={group}>
          {members.map(({ id, title }) => (
            <option key={id} value={id}>
              {title}
            </option>
          ))}
        </optgroup>
      ))}
    </>
  );
}
