"""Python programs in the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.outcome import Outcome
from shadownb.engine.sandbox.running import run


def python_command(*, packages: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """Return the command of this Python, and the paths that it has to see.

    Parameters
    ----------
    packages
        Whether the packages installed here can be imported; without them a program starts in a third of the time.

    Examples
    --------
    >>> argv, readable = snb.sandbox.python_command()
    >>> snb.sandbox.run([*argv, "main.py"], files={"main.py": "print(1)"}, readable=readable).stdout
    '1\\n'
    """
    home = str(Path(sys.base_prefix).resolve())
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    bare = base.resolve() if base.exists() else Path(sys.executable).resolve()
    if packages:
        return [sys.executable, "-I", "-B"], (home, str(Path(sys.prefix).absolute()))
    return [str(bare), "-I", "-S", "-B"], (home,)


def run_python(
    source: str,
    *,
    stdin: str | bytes = b"",
    files: Mapping[str, str | bytes] | None = None,
    limits: Limits | None = None,
    packages: bool = False,
) -> Outcome:
    """Run a program of Python as ``main.py``; the other arguments are those of :func:`run` and :func:`python_command`.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program.

    Examples
    --------
    >>> snb.sandbox.run_python("print(input()[::-1])", stdin="abc").stdout
    'cba\\n'
    """
    argv, readable = python_command(packages=packages)
    return run(
        [*argv, "main.py"], files={**(files or {}), "main.py": source}, stdin=stdin, limits=limits, readable=readable
    )
