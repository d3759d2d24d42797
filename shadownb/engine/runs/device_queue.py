"""The queue of one device: which runs wait for it, in which order, and who trains on it now; in the home, for all processes.

``queue/HOST-DEVICE.json`` has the order, written under a lock. Who trains holds another lock, which the operating system takes back
when its process ends, however that ends. So nobody has to keep the queue: each run that waits is looked after by the process that
will train it, and takes its turn itself. What a process that was killed has left is passed over.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.disk import write_atomically
from shadownb.engine.home import home, make_private
from shadownb.engine.locks import is_held
from shadownb.engine.processes import host, is_alive, process_mark
from shadownb.errors import RunError

FOLDER = "queue"
# From being launched until a worker must have said that it is there. Python takes about 1 s when idle, and took over 30 s on two
# cores with twelve busy processes.
STARTS_SECONDS = 120.0
_PATIENCE_S = 10.0  # for another process that changes the order, which takes milliseconds
_PART = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True)
class Waiting:
    """A run that waits.

    Attributes
    ----------
    id, folder
        The run's id, and its folder, which may be of another store.
    by, worker
        Marks of the process that launched it, and of the one that will train it, once that has said so.
    since
        When it was launched, in seconds since 1970.
    held
        Whether the others pass it, until somebody lets it go on.
    """

    id: str
    folder: str
    by: Mapping[str, Any]
    worker: Mapping[str, Any] | None = None
    since: float = field(default_factory=time.time)
    held: bool = False

    @property
    def is_there(self) -> bool:
        """Whether the process that will train it lives, or may still be starting."""
        if self.worker is not None:
            return is_alive(self.worker)
        return time.time() - self.since < STARTS_SECONDS and is_alive(self.by)


@dataclass(frozen=True)
class Order:
    """What the file says.

    Attributes
    ----------
    device
        Such as ``cpu`` or ``cuda:0``.
    waiting
        In the order in which they will train.
    paused
        Whether no further run begins until somebody says so.
    training
        The run that took its turn last; whether it still has it, only the lock says.
    """

    device: str
    waiting: tuple[Waiting, ...] = ()
    paused: bool = False
    training: Waiting | None = None

    @property
    def first(self) -> Waiting | None:
        """Whose turn it is next."""
        return next((each for each in self.waiting if not each.held and each.is_there), None)


class DeviceQueue:
    """The queue of a device of this host, in a home.

    Parameters
    ----------
    device
        As a model's record names it; ``cuda`` is ``cuda:0``.
    """

    def __init__(self, device: str, where: Path | None = None) -> None:
        self.device = "cuda:0" if device == "cuda" else device
        folder = (home() if where is None else where) / FOLDER
        name = f"{_PART.sub('_', host()) or 'host'}-{_PART.sub('_', self.device)}"
        self.path = folder / f"{name}.json"
        self._lock, self._turn = folder / f"{name}.lock", folder / f"{name}.turn"

    # -- looking ----------------------------------------------------------------------------------------------------

    def read(self) -> Order:
        """Return the order as it stands; what cannot be read counts as empty, and the next change writes it anew."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            training = found["training"]
            return Order(
                self.device,
                tuple(Waiting(**each) for each in found["waiting"]),
                bool(found["paused"]),
                None if training is None else Waiting(**training),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Order(self.device)

    def training(self) -> Waiting | None:
        """Return the run that trains now; None where none does."""
        found = self.read().training
        return found if found is not None and is_held(self._turn) else None

    # -- changing ---------------------------------------------------------------------------------------------------

    def enter(self, run_id: str, folder: Path, *, here: bool) -> None:
        """Put a run at the end, or note that this process will train one that stands there.

        Parameters
        ----------
        here
            Whether this process is the one that will train it.
        """
        mark = process_mark()
        with self._changing() as change:
            waiting = list(change.order.waiting)
            place = next((at for at, each in enumerate(waiting) if each.id == run_id), None)
            entry = Waiting(run_id, str(folder), mark) if place is None else waiting.pop(place)
            waiting.insert(len(waiting) if place is None else place, replace(entry, worker=mark) if here else entry)
            change.put(waiting)

    def leave(self, run_id: str) -> None:
        """Take a run out."""
        with self._changing() as change:
            change.put([each for each in change.order.waiting if each.id != run_id])

    def hold(self, run_id: str, *, held: bool) -> None:
        """Have the others pass a run, or no longer."""
        with self._changing() as change:
            change.put([replace(each, held=held) if each.id == run_id else each for each in change.order.waiting])

    def move(self, run_id: str, place: int) -> None:
        """Put a run at a place, counted from 0; beyond the end is the end.

        Raises
        ------
        RunError
            It does not wait here.
        """
        with self._changing() as change:
            moved = next((each for each in change.order.waiting if each.id == run_id), None)
            if moved is None:
                raise RunError(f"Run {run_id} does not wait for {self.device}.", fix="snb.runs.queue() shows which do.")
            rest = [each for each in change.order.waiting if each.id != run_id]
            place = max(0, min(place, len(rest)))
            change.put([*rest[:place], moved, *rest[place:]])

    def pause(self, paused: bool) -> None:
        """Have no further run begin, or begin again; the one that trains goes on."""
        with self._changing() as change:
            change.order = replace(change.order, paused=paused)

    def take(self, run_id: str) -> FileLock | None:
        """Take the device for a run if it is its turn and nobody trains; the lock's release lets the next one begin."""
        order = self.read()  # most looks end here, without a lock
        if order.paused or (order.first is not None and order.first.id != run_id):
            return None
        lock = FileLock(self._turn, thread_local=False)
        try:
            with self._changing() as change:
                first = change.order.first
                if change.order.paused or first is None or first.id != run_id:
                    return None
                lock.acquire(timeout=0)
                rest = tuple(each for each in change.order.waiting if each.id != run_id)
                change.order = replace(change.order, waiting=rest, training=first)
            return lock
        except Timeout:
            return None
        except BaseException:
            lock.release()
            raise

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Change]:
        """Give the order to change, with what is gone taken out, and write it if it is another one afterwards."""
        make_private(self.path.parent)
        lock = FileLock(self._lock, thread_local=False)
        try:
            lock.acquire(timeout=_PATIENCE_S)
        except Timeout:
            raise RunError(f"Another process keeps the queue of {self.device}.", fix="Try again.") from None
        try:
            read = self.read()
            change = _Change(replace(read, waiting=tuple(each for each in read.waiting if each.is_there)))
            yield change
            if change.order != read:
                write_atomically(self.path, json.dumps(asdict(change.order), indent=1))
        finally:
            lock.release()


class _Change:
    def __init__(self, order: Order) -> None:
        self.order = order

    def put(self, waiting: list[Waiting]) -> None:
        self.order = replace(self.order, waiting=tuple(waiting))


def queues(where: Path | None = None) -> list[DeviceQueue]:
    """Return the queues of this host that were ever used, by device."""
    base = home() if where is None else where
    found = []
    for path in sorted((base / FOLDER).glob(f"{_PART.sub('_', host()) or 'host'}-*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(DeviceQueue(str(json.loads(path.read_text(encoding="utf-8"))["device"]), base))
    return found
