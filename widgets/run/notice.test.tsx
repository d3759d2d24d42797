import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { useTraitValue } from "../lib/model";
import { definePanel } from "../lib/panel";
import { mounted } from "../lib/testing/mounted";
import { Notice } from "./notice";
import type { Status } from "./types";

const about = { id: "run-1", method: "lora", model: "tiny", path: "/x" };
const status = {
  status: "running",
  phase: {},
  step: 3,
  total: 6,
  epoch: 0,
  attempt: 1,
  elapsed: 1,
  eta: null,
  stopping: false,
  last: {},
  best: null,
};
function View() {
  return <Notice about={about} status={useTraitValue<Status>("status")} why="" />;
}
const page = mounted(definePanel(View, { label: "Notice" }), { status });
const shown: [string, NotificationOptions | undefined][] = [];
let asked = 0;

function browser(permission: NotificationPermission, answer: NotificationPermission = permission): void {
  asked = 0;
  shown.length = 0;
  class Fake {
    static permission = permission;
    static async requestPermission() {
      asked += 1;
      Fake.permission = answer;
      return answer;
    }
    constructor(title: string, options?: NotificationOptions) {
      shown.push([title, options]);
    }
  }
  vi.stubGlobal("Notification", Fake);
}

afterEach(() => vi.unstubAllGlobals());

const press = () =>
  act(async () => {
    page.el.querySelector("button")?.click();
    await new Promise((done) => setTimeout(done));
  });
const end = (how: string) => act(async () => page.model.set("status", { ...status, status: how }));

test("nothing is asked before a click, and nothing is told unasked", async () => {
  browser("default", "granted");
  page.show();
  expect(asked).toBe(0);
  await end("succeeded");
  expect(shown).toEqual([]);
});

test("after a click the end is told once, with the run's id as its tag", async () => {
  browser("default", "granted");
  page.show();
  await press();
  expect([asked, page.el.querySelector("button")?.textContent]).toEqual([1, "Will tell you"]);
  await end("failed");
  expect(shown).toEqual([["Run run-1 failed.", { body: "lora of tiny, step 3.", tag: "run-1" }]]);
});

test("a page that may not show notifications says so", async () => {
  browser("denied");
  page.show();
  await press();
  expect(page.el.textContent).toContain("may not show notifications");
  await end("succeeded");
  expect(shown).toEqual([]);
});
