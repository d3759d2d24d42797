"""The ``shadownb`` command: the verbs of ``%shadow`` from a shell.

Exit code 0 means done, 1 that the work failed or was stopped, 2 that the command was mistyped, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import FrontEnd, one_line, verbs_for
from shadownb.engine import live
from shadownb.engine.runs.progress import follow
from shadownb.errors import ConfigError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.models import Model
    from shadownb.engine.ports.chat_model import ChatModel
    from shadownb.engine.runs import Run


class ShellFrontEnd(FrontEnd):
    """A terminal: results are printed, a run is watched until it ends."""

    def panel(self, name: str, **subject: Any) -> Any:
        self.refuse(f"{name} shows a panel, which needs a notebook: %load_ext shadownb, then %shadow {name}")

    def watch(self, run: Run) -> Run:
        self.note(f"Run {run.id} in {run.path}. Ctrl-C stops and saves it.")
        try:
            follow(run)
        except KeyboardInterrupt:
            run.stop(save=True)
            follow(run)
        return self._ended(run)

    def attach(self, run: Run) -> Run:
        self.note(f"Run {run.id} in {run.path}. Ctrl-C stops watching, the run goes on.")
        follow(run)
        return self._ended(run)

    def _ended(self, run: Run) -> Run:
        """Say how a run ended; anything but success is exit code 1."""
        status = run.status
        if status == "succeeded":
            if run.reach:
                self.note(f"Trained: {run.reach}.")
            self.note(f"Done. Talk to it with: {self.prog} chat {run.id}")
            return run
        error = run.error
        resumable = status in ("stopped", "failed", "interrupted")
        self.note(error.as_text() if error is not None else f"The run ended: {status}.")
        if resumable:
            self.note(f"Go on with it: {self.prog} resume {run.id}")
        raise click.exceptions.Exit(1)

    def answer(self, model: ChatModel, messages: list[dict[str, str]], sampling: dict[str, Any]) -> None:
        self.say(model, messages, sampling)

    def converse(self, model: Model | None, sampling: dict[str, Any]) -> None:
        model = model or self.model(self.default_model)
        self.note(f"Chat with {model.name}. An empty line or Ctrl-D ends it.")
        messages: list[dict[str, str]] = []
        while True:
            try:
                text = input("> " if sys.stdin.isatty() else "").strip()
            except EOFError:
                return
            if not text:
                return
            messages.append({"role": "user", "content": text})
            answer = self.say(model, messages, sampling)
            messages.append({"role": "assistant", "content": answer})

    def confirm(self, question: str) -> bool:
        return click.confirm(question, err=True)


def main(args: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    front_end = ShellFrontEnd()
    live.log_patience_s = 0.0
    try:
        return _run(front_end, args)
    except (click.Abort, KeyboardInterrupt):
        code, text = 130, "Stopped."
    except (click.ClickException, ConfigError) as error:
        code, text = 2, f"{front_end.prog}: {one_line(error)}"
    except ShadowError as error:
        code, text = 1, error.as_text()
    front_end.note(text)
    return code


def _run(front_end: ShellFrontEnd, args: list[str] | None) -> int:
    if os.getcwd() not in sys.path:  # as of a notebook: functions that options name may lie in this folder
        sys.path.append(os.getcwd())
    # Outside its standalone mode click returns the code of an Exit in place of the verb's result.
    result = verbs_for(ShellFrontEnd).main(args, prog_name=front_end.prog, standalone_mode=False, obj=front_end)
    if isinstance(result, int):
        return result
    if result is not None:
        print(result)
    return 0 if getattr(result, "ok", True) else 1
