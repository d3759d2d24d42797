"""The queue as a user sees and changes it: what trains and what waits, device by device."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.runs.device_queue import DeviceQueue, Waiting, queues
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.errors import RunError, ShadowError

_COLUMNS = ("device", "place", "run", "status", "method", "model", "since")


class Queue:
    """The runs that train or wait on this machine, for each device in the order in which they begin.

    Those that were started with ``queue=True``: one of them trains on a device at a time. A run that waits is stopped
    by ``run.stop()``; ``run.pause()`` has the others pass it, until ``run.resume()``.

    Attributes
    ----------
    training, waiting
        The :class:`Run` objects: those that train, and those that wait, in their order.
    paused
        The devices on which no further run begins.

    Examples
    --------
    >>> first, second, third = (
    ...     model.fresh_copy().train(rows, max_steps=2000, save_steps=2000, background=True, queue=True) for _ in range(3)
    ... )
    >>> queue = snb.runs.queue()
    >>> [each.id for each in queue.waiting] == [second.id, third.id]
    True
    >>> queue.move(third, 0)
    device  place  run ...
    >>> [each.id for each in snb.runs.queue().waiting] == [third.id, second.id]
    True
    >>> [each.discard().wait(timeout=60).status for each in (second, third, first)]
    ['discarded', 'discarded', 'discarded']
    """

    def __init__(self) -> None:
        self._queues = queues()
        self._read()

    def _read(self) -> None:
        self.paused: list[str] = []
        self.training: list[Run] = []
        self.waiting: list[Run] = []
        self._lines: list[tuple[str, int | None, Waiting, Run]] = []
        for queue in self._queues:
            order, training = queue.read(), queue.training()
            self.paused += [queue.device] if order.paused else []
            placed: list[tuple[int | None, Waiting]] = [(None, training)] if training is not None else []
            placed += enumerate(each for each in order.waiting if each.is_there)
            for place, each in placed:
                run = _run_of(each)
                if run is not None:
                    (self.training if place is None else self.waiting).append(run)
                    self._lines.append((queue.device, place, each, run))

    def move(self, run: str | Run, place: int) -> Queue:
        """Put a run that waits at a place, 0 being the next to begin, and return the queue as it is now.

        Raises
        ------
        RunError
            It does not wait.

        Examples
        --------
        >>> snb.runs.queue().move(run, 0)
        Traceback (most recent call last):
            ...
        shadownb.errors.RunError: Run ... does not wait in a queue.
        Next: snb.runs.queue() shows which do.
        """
        run_id = run if isinstance(run, str) else run.id
        device = next((device for device, at, each, _ in self._lines if at is not None and each.id == run_id), None)
        if device is None:
            raise RunError(f"Run {run_id} does not wait in a queue.", fix="snb.runs.queue() shows which do.")
        DeviceQueue(device).move(run_id, place)
        self._read()
        return self

    def pause(self, device: str | None = None) -> Queue:
        """Have no further run begin on a device, or on any; what trains goes on.

        Examples
        --------
        >>> snb.runs.queue().pause().paused
        ['cpu']
        >>> snb.runs.queue().resume().paused
        []
        """
        return self._pause(device, True)

    def resume(self, device: str | None = None) -> Queue:
        """Have runs begin again after :meth:`pause`.

        Examples
        --------
        >>> snb.runs.queue().resume("cpu").paused
        []
        """
        return self._pause(device, False)

    def _pause(self, device: str | None, paused: bool) -> Queue:
        known = [queue.device for queue in self._queues]
        if device is not None and device not in known:
            raise RunError(
                f"device={device!r}: no run has waited for it.", fix=f"Devices: {', '.join(known) or 'none yet'}."
            )
        for queue in self._queues:
            if device in (None, queue.device):
                queue.pause(paused)
        self._read()
        return self

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the table as JSON-compatible values: device, place (None of the one that trains), run, status and the rest.

        Examples
        --------
        >>> snb.runs.queue().to_dicts()
        []
        """
        return [
            {
                "device": device,
                "place": place,
                "run": run.id,
                "status": "held" if each.held else run.status,
                "method": run.config.method,
                "model": run.base_model,
                "since": each.since,
            }
            for device, place, each, run in self._lines
        ]

    def _cells(self) -> list[list[str]]:
        return [
            [
                "" if value is None else datetime.datetime.fromtimestamp(value).strftime("%d %b %H:%M") if name == "since"
                else str(value + 1) if name == "place" else str(value)
                for name, value in row.items()
            ]
            for row in self.to_dicts()
        ]  # fmt: skip

    def _note(self) -> str:
        return f"Paused: {', '.join(self.paused)}; no further run begins there until resume()." if self.paused else ""

    def __repr__(self) -> str:
        table = table_text(_COLUMNS, self._cells()) if self._lines else "no run trains or waits"
        return "\n".join(filter(None, (table, self._note())))

    def _repr_html_(self) -> str:
        table = table_html(_COLUMNS, self._cells()) if self._lines else "<em>no run trains or waits</em>"
        return table + (f"<p>{self._note()}</p>" if self.paused else "")


def queue() -> Queue:
    """Return what trains on this machine and what waits, device by device; it shows itself as a table.

    Examples
    --------
    >>> snb.runs.queue()
    no run trains or waits
    """
    return Queue()


def _run_of(entry: Waiting) -> Run | None:
    """Return the run of an entry; None where its folder is gone or cannot be read."""
    run = Run(RunFolder(Path(entry.folder)))
    try:
        return run if run.config else None
    except (ShadowError, OSError, KeyError, TypeError, ValueError):
        return None
