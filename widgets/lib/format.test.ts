import { expect, test } from "vitest";
import { clock, count, counted, dollars, duration, gigabytes, latency, number, percent, rate } from "./format";

test.each([
  [number, null, "--"],
  [number, undefined, "--"],
  [number, Number.NaN, "--"],
  [number, 0, "0"],
  [number, 0.29943, "0.2994"],
  [number, 2.65218, "2.652"],
  [number, 123.456, "123.5"],
  [number, 12345.6, "12346"],
  [number, 0.0000123, "1.23e-5"],
  [number, 5_000_000, "5,000,000"],
  [count, 12345.6, "12,346"],
  [count, null, "--"],
  [rate, 2e-4, "2.0e-4"],
  [rate, 0, "0"],
  [rate, undefined, "--"],
  [duration, 0.4, "0 s"],
  [duration, 59.6, "1:00"],
  [duration, 65, "1:05"],
  [duration, 7389, "2:03:09"],
  [duration, null, "--"],
  [latency, 0.0034, "3 ms"],
  [latency, 2.414, "2.41 s"],
  [latency, 65, "1:05"],
  [latency, null, "--"],
  [gigabytes, 0.5, "500 MB"],
  [gigabytes, 0.0002, "under 1 MB"],
  [gigabytes, 0, "0 MB"],
  [gigabytes, 1.43, "1.43 GB"],
  [percent, 0.999, "99%"],
  [percent, 1, "100%"],
  [dollars, 1.5, "$1.5000"],
  [dollars, 0.000048, "$0.000048"],
  [dollars, 0, "$0.0000"],
  [dollars, null, "--"],
  [clock, new Date(2026, 0, 5, 23, 30).getTime() / 1000, "2026-01-05"],
  [clock, new Date().setHours(9, 5, 0, 0) / 1000, "09:05:00"],
  [clock, null, "--"],
])("%o of %s is %s", (format, value, text) => {
  expect((format as (v: unknown) => string)(value)).toBe(text);
});

test.each([
  [1, "1 call"],
  [0, "0 calls"],
  [2000, "2,000 calls"],
])("%s is counted as %s", (value, text) => expect(counted(value, "call")).toBe(text));
