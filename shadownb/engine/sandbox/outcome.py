"""How a program in the sandbox ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The end of a program.

    Attributes
    ----------
    status : str
        ``ok``: it ended by itself with exit code 0. ``failed``: with another one, or by a signal. ``timeout``, ``cpu``, ``memory``,
        ``disk`` (too many files), ``output``: it met that bound and was ended.
    exit_code : int or None
        As a shell gives it: 128 + n after signal n. None where it was ended from outside.
    stdout, stderr : str
        What it wrote, up to the bound; bytes that are no UTF-8 are U+FFFD.
    wall_seconds : float
        What it took, starting the sandbox included.

    Examples
    --------
    >>> outcome = snb.sandbox.run_python("1 / 0")
    >>> outcome.status, outcome.ok, outcome.reason
    ('failed', False, 'ZeroDivisionError: division by zero')
    """

    status: str
    exit_code: int | None
    stdout: str
    stderr: str
    wall_seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.status == "ok"

    @property
    def reason(self) -> str:
        """One line on why it is not ``ok``; empty where it is."""
        if self.ok:
            return ""
        if self.exit_code is None:
            return _BOUNDS.get(self.status, self.status)
        last = next((line for line in reversed(self.stderr.splitlines()) if line.strip()), "")
        return last.strip() or self._ending

    @property
    def _ending(self) -> str:
        assert self.exit_code is not None
        try:
            return f"ended by {signal.Signals(self.exit_code - 128).name}"
        except ValueError:
            return f"exit code {self.exit_code}"


_BOUNDS = {
    "timeout": "took too long",
    "cpu": "used too much CPU time",
    "memory": "used too much memory",
    "disk": "made too many files",
    "output": "wrote too much",
}
