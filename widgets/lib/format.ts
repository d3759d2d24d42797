/** Numbers as text. A value that is not there is always "--". */
export const MISSING = "--";

type Maybe = number | null | undefined;

function there(value: Maybe): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** About four significant digits, without an exponent where that stays short. */
export function number(value: Maybe, digits = 4): string {
  if (!there(value)) {
    return MISSING;
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) {
    return value.toExponential(2);
  }
  if (Number.isInteger(value)) {
    return count(value);
  }
  const decimals = size >= 1 ? Math.max(0, digits - Math.floor(Math.log10(size)) - 1) : digits;
  return value.toFixed(decimals);
}

export function count(value: Maybe): string {
  return there(value) ? Math.round(value).toLocaleString("en-US") : MISSING;
}

/** Learning rates are read by their exponent: 2.0e-4. */
export function rate(value: Maybe): string {
  if (!there(value)) {
    return MISSING;
  }
  return value === 0 ? "0" : value.toExponential(1);
}

/** Seconds as 8 s, 1:05 or 2:03:09. */
export function duration(seconds: Maybe): string {
  if (!there(seconds)) {
    return MISSING;
  }
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) {
    return `${total} s`;
  }
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** How long a call took: "350 ms", "2.41 s", then as durations are told. */
export function latency(seconds: Maybe): string {
  if (!there(seconds)) {
    return MISSING;
  }
  if (seconds < 1) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  return seconds < 10 ? `${seconds.toFixed(2)} s` : duration(seconds);
}

/** Memory in units of 1e9 bytes. */
export function gigabytes(value: Maybe): string {
  if (!there(value)) {
    return MISSING;
  }
  if (value > 0 && value < 5e-4) {
    return "under 1 MB";
  }
  return value < 1 ? `${Math.round(value * 1000)} MB` : `${value.toFixed(2)} GB`;
}

export function percent(share: Maybe): string {
  return there(share) ? `${Math.floor(share * 100)}%` : MISSING;
}

/** "1 call", "2,000 calls". */
export function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
}

/** US dollars; four decimals, because single calls cost fractions of a cent. */
export function dollars(value: Maybe): string {
  return there(value) ? `$${value.toFixed(value !== 0 && value < 0.01 ? 6 : 4)}` : MISSING;
}

/** The time of day of seconds since 1970 in the reader's time zone; the date where it was another day. */
export function clock(at: Maybe): string {
  if (!there(at)) {
    return MISSING;
  }
  const when = new Date(at * 1000);
  const time = when.toLocaleTimeString("en-GB");
  if (when.toDateString() === new Date().toDateString()) {
    return time;
  }
  const two = (n: number) => String(n).padStart(2, "0");
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
}
