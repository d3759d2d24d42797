"""What the Runs panel shows of the queue, and its buttons."""

from __future__ import annotations

from typing import Any

from shadownb.engine.runs.device_queue import queues
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.index import stamp_of
from shadownb.engine.runs.queues import Queue


def queue_stamp() -> tuple[str, ...]:
    """Return what changes when the order of a queue does, or who trains."""
    return tuple(stamp_of(queue.path) for queue in queues())


def queue_shown() -> list[dict[str, Any]]:
    """Return each device on which runs wait, or that is paused: ``device``, ``paused``, ``training`` and ``waiting``."""
    found = Queue()
    shown: dict[str, dict[str, Any]] = {
        device: {"device": device, "paused": True, "training": "", "waiting": []} for device in found.paused
    }
    for row in found.to_dicts():
        line = shown.setdefault(
            row["device"], {"device": row["device"], "paused": False, "training": "", "waiting": []}
        )
        if row["place"] is None:
            line["training"] = row["run"]
        else:
            line["waiting"].append(
                {"id": row["run"], "held": row["status"] == "held", "method": row["method"], "model": row["model"]}
            )
    return [line for line in shown.values() if line["waiting"] or line["paused"]]


def change_queue(action: str, run: Run | None, device: str, place: int) -> None:
    """Do what a button says: ``move``, ``hold``, ``release`` and ``cancel`` of a run, ``pause`` and ``resume`` of a device."""
    if action == "pause":
        Queue().pause(device)
    elif action == "resume":
        Queue().resume(device)
    elif run is not None:
        if action == "move":
            Queue().move(run, place)
        elif action == "hold":
            run.pause()
        elif action == "release":
            run.resume()
        elif action == "cancel":
            run.stop()
