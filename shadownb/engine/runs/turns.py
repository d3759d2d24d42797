"""Waiting until it is a run's turn to train: obeyed meanwhile are stops, and pauses, which let the others pass."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from shadownb.engine.ports.executor import Attempt
from shadownb.engine.runs.commands import STOPS, CommandReader
from shadownb.engine.runs.control import end_unstarted
from shadownb.engine.runs.device_queue import DeviceQueue
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.errors import ShadowError

LOOK_SECONDS = 0.2  # between looks whether it is a run's turn


@dataclass(frozen=True)
class Turn:
    """The device is this run's until :meth:`end`; ``attempt`` is what is to be done, without the commands obeyed meanwhile."""

    attempt: Attempt
    lock: FileLock | None = None

    def end(self) -> None:
        """Let the next run begin."""
        if self.lock is not None:
            self.lock.release()


def queue_of(folder: RunFolder) -> DeviceQueue | None:
    """Return the queue that a run stands in; None where it trains beside others (without ``queue=True``)."""
    if not folder.config.queue:
        return None
    return DeviceQueue(str((folder.spec["model"].get("device") or ["cpu"])[0]))


def enter(folder: Path) -> None:
    """Put a run at the end of its queue, before the process is started that will train it."""
    queue = queue_of(RunFolder(folder))
    if queue is not None:
        queue.enter(folder.name, folder, here=False)


class Waiter:
    """Waits for the turn of a run that this process will train.

    Parameters
    ----------
    folder, attempt, journal
        As an executor gets them; what is told while waiting goes into the journal.
    """

    def __init__(self, folder: RunFolder, attempt: Attempt, journal: Journal) -> None:
        self.folder, self.attempt, self.journal = folder, attempt, journal
        self.stopped = False
        self._commands = CommandReader(folder.commands, attempt.commands_from)
        self._began = time.monotonic()
        self._told: tuple[bool, str] | None = None
        self._held, self._problem = False, ""
        self.queue = queue_of(folder)
        if self.queue is not None:
            self.queue.enter(folder.id, folder.path, here=True)

    def take(self) -> Turn | None:
        """Return the turn if it is this run's now."""
        if self._held:
            return None
        if self.queue is None:
            return Turn(self._rest())
        try:
            lock = self.queue.take(self.folder.id)
            self._problem = ""
        except (ShadowError, OSError) as error:  # a full disk, a home that is gone: it waits on, and says why
            self._problem = f", and the queue cannot be changed ({error})"
            return None
        if lock is None:
            return None
        waited = round(time.monotonic() - self._began, 3)
        self.journal.append("turn", device=self.queue.device, waited_s=waited)
        return Turn(self._rest(), lock)

    def obey(self) -> None:
        """Take in commands; :attr:`stopped` says whether the run has ended by one."""
        for command in self._commands.poll():
            kind = command["kind"]
            if kind in STOPS:
                self._leave()
                end_unstarted(self.journal, command, "while waiting in line")
                self.stopped = True
                return
            if kind in ("pause", "resume"):
                self._held = kind == "pause"
                if self.queue is not None:
                    self.queue.hold(self.folder.id, held=self._held)
                self.journal.append("command", id=command["id"], kind=kind)

    def tell(self, ahead: int = 0) -> None:
        """Note in the journal what the run waits for, where that is something else than before.

        Parameters
        ----------
        ahead
            How many runs of this process come first, where that is not for the queue to say.
        """
        words = "" if self._held else f"{ahead} ahead" if self.queue is None else self._words(self.queue)
        if (self._held, words) == self._told:
            return
        self._told = self._held, words
        if self._held:
            self.journal.append("paused", waiting=True)
        else:
            self.journal.append("phase", name="queued", done=0, total=None, unit="", message=words)

    def wait(self) -> Turn | None:
        """Return the turn as soon as it is this run's; None where a stop came first, and is written as the run's end."""
        pause = LOOK_SECONDS
        while (turn := self.take()) is None:
            self.obey()
            if self.stopped:
                return None
            self.tell()
            time.sleep(pause)
        return turn

    def _rest(self) -> Attempt:
        """Return what is to be done, behind the commands that were obeyed in line: a pause is obeyed once."""
        return replace(self.attempt, commands_from=self._commands.offset)

    def _words(self, queue: DeviceQueue) -> str:
        order = queue.read()
        ids = [each.id for each in order.waiting if each.is_there and not each.held]
        training = queue.training()
        ahead = ids.index(self.folder.id) if self.folder.id in ids else 0
        behind = f", behind {training.id}" if training is not None else ""
        paused = ", the queue is paused" if order.paused else ""
        return f"{ahead + (training is not None)} ahead{behind}{paused}{self._problem}"

    def _leave(self) -> None:
        if self.queue is not None:
            self.queue.leave(self.folder.id)
