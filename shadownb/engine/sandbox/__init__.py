"""A sandbox for programs that a model wrote: a process of its own without network, host files or the user's environment.

>>> outcome = snb.sandbox.run_python("print(sum(range(10)))")
>>> outcome.status, outcome.stdout
('ok', '45\\n')

Nothing of it is ever executed in the process that asks. Where this machine cannot enclose a program, :class:`SandboxError` says
what is missing. docs/scorers.md says what is kept out, and what is not.
"""

from __future__ import annotations

from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.outcome import Outcome
from shadownb.engine.sandbox.python import python_command, run_python
from shadownb.engine.sandbox.running import run, run_many
from shadownb.engine.sandbox.walls import Wall, find_wall
from shadownb.errors import SandboxError

__all__ = ["Limits", "Outcome", "SandboxError", "Wall", "find_wall", "python_command", "run", "run_many", "run_python"]
