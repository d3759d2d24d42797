"""What builds and runs programs of a language in the sandbox; :mod:`installed` knows which there are.

A program has passed where it ended with exit code 0 and printed a word, another one each time, that stands behind its last test.
So one that ends early, with whatever exit code, has not passed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shadownb.engine.evals.suites.base import NO_TOOLCHAIN
from shadownb.engine.evals.suites.coding.programs import OUTCOMES, Ran
from shadownb.engine.sandbox.limits import MIB, Limits
from shadownb.engine.sandbox.running import run
from shadownb.errors import SandboxError

_BUILD_SECONDS, _RUN_SECONDS = 40, 10  # of CPU time; reference solutions take up to 4 and 1
_NOT_BUILT = 90  # an exit code that no compiler and no signal gives


@dataclass(frozen=True)
class Toolchain:
    """How programs of one language are built and run.

    Attributes
    ----------
    language
        What people call it.
    tool
        The program that has to be there.
    source
        What the source file is called.
    build
        A shell command that builds it, or checks it; empty where it is run as it is.
    start
        A shell command that runs it.
    package
        How the tool is installed.
    probe
        A program that prints a word, whose place is ``%s``.
    missing
        What a message says of a library that is not there; its first group is the name.
    folders
        Folders beside the system's that building and running reads.
    stubs
        Files of ours in its folder, in the place of libraries that only tests use.
    variables
        Of its environment.
    """

    language: str
    tool: str
    source: str
    build: str
    start: str
    package: str
    probe: str
    missing: str = r"(?!)"
    folders: Callable[[], Sequence[str]] = tuple
    stubs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether its tool is installed."""
        return shutil.which(self.tool) is not None

    def trouble(self) -> str:
        """Return why nothing can be built and run here, or nothing; tries a program that prints a word."""
        if not self.is_there:
            return f"{self.tool} is not installed ({self.package})"
        mark = new_mark()
        try:
            ran, _ = self._try(self.probe % mark, mark)
        except SandboxError as error:
            return f"{self.tool} cannot be used in the sandbox: {error.why or error.what}"
        return "" if ran.value else f"{self.tool} cannot build a program of a line: {ran.reason or ran.outcome}"

    def try_all(self, sources: Sequence[str], mark: str, needed: str) -> Ran:
        """Run the first of the sources that can be built, or say why none can.

        Parameters
        ----------
        mark
            What is printed behind the last test.
        needed
            What names the libraries that the item itself needs: where one of those is not here, nothing can be told.

        Raises
        ------
        SandboxError
            This machine cannot enclose a program.
        """
        failed = []
        for source in sources:
            ran, built = self._try(source, mark)
            found = re.search(self.missing, ran.reason)
            name = next((group for group in found.groups() if group), "") if found else ""
            if name and name in needed:
                return Ran(None, NO_TOOLCHAIN, f"{name} is not installed")
            if built:
                return ran
            failed.append(ran)
        return failed[0] if failed else Ran(0.0, "no code", "the answer holds no code")

    def _try(self, source: str, mark: str) -> tuple[Ran, bool]:
        build = f"{self.build} || exit {_NOT_BUILT}\n" if self.build else ""
        outcome = run(
            ["/bin/sh", "-c", f"{build}ulimit -t {_RUN_SECONDS}\n{self.start}"],
            files={self.source: source, **self.stubs},
            limits=_LIMITS,
            readable=[folder for folder in self.folders() if os.path.lexists(folder)],
            environment=self.variables,
        )
        if outcome.exit_code == _NOT_BUILT:
            return Ran(0.0, "does not compile", _said(outcome.stderr + outcome.stdout) or outcome.reason), False
        if outcome.ok:
            if mark in outcome.stdout:
                return Ran(1.0, "passed", "passes its tests"), True
            return Ran(0.0, "failed", "ended before its tests did"), True
        kind = "timed out" if outcome.exit_code in (137, 152) else OUTCOMES.get(outcome.status, "failed")
        return Ran(0.0, kind, _said(outcome.stderr) or outcome.reason), True


_LIMITS = Limits(
    wall_seconds=3 * (_BUILD_SECONDS + _RUN_SECONDS),
    cpu_seconds=_BUILD_SECONDS + _RUN_SECONDS,
    memory_bytes=2048 * MIB,
    address_space=False,  # node, Java and Go reserve far more than they use
    processes=256,
    disk_bytes=256 * MIB,
)


def _said(stderr: str) -> str:
    """Return the line of a message that says what is wrong."""
    telling = (line.strip() for line in stderr.splitlines() if re.search(r"(?i)error|assert|panick|fail", line))
    return next(telling, "")[:200]


def new_mark() -> str:
    """Return a word that no program knows."""
    return f"done-{secrets.token_hex(12)}"
