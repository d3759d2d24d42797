/** "Tell me when it ends": a notification of the browser, asked for by a click and by nothing else. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "../lib/controls";
import { useLife } from "../lib/life";
import { StatusLine } from "../lib/status-line";
import { type About, isActive, type Status } from "./types";

const ENDS: Partial<Record<string, string>> = { succeeded: "is done", failed: "failed", interrupted: "broke off" };

export function Notice({ about, status, why }: { about: About; status: Status; why: string }) {
  const live = useLife() === "live"; // nobody hears of an end from a kernel that is gone
  const [wanted, setWanted] = useState(false);
  const [problem, setProblem] = useState("");
  const before = useRef(status.status);
  useEffect(() => {
    const ended = ENDS[status.status];
    if (wanted && ended !== undefined && isActive(before.current)) {
      setProblem(
        tell(`Run ${about.id} ${ended}.`, why || `${about.method} of ${about.model}, step ${status.step}.`, about.id),
      );
      setWanted(false);
    }
    before.current = status.status;
  }, [status.status]);
  const press = () => {
    if (wanted) {
      setWanted(false);
      return;
    }
    setProblem("");
    allowed().then((granted) => {
      setWanted(granted);
      setProblem(
        granted ? "" : "This page may not show notifications: the browser, or what hosts the notebook, refuses them.",
      );
    });
  };
  return (
    <>
      {isActive(status.status) && (
        <Button kind="quiet" disabled={!live} aria-pressed={wanted} onClick={press}>
          {wanted ? "Will tell you" : "Tell me when it ends"}
        </Button>
      )}
      {problem && <StatusLine>{problem}</StatusLine>}
    </>
  );
}

async function allowed(): Promise<boolean> {
  if (typeof Notification === "undefined") {
    return false;
  }
  if (Notification.permission === "default") {
    await Notification.requestPermission();
  }
  return Notification.permission === "granted";
}

/** Show it and return what went wrong; several views of one run show one, by the tag. */
function tell(title: string, body: string, tag: string): string {
  try {
    new Notification(title, { body, tag });
    return "";
  } catch (error) {
    return `The browser could not show the notification: ${String(error)}.`;
  }
}
