"""``%shadow`` and ``%%shadow``: the verbs of ShadowNB in a notebook cell.

``%load_ext shadownb`` adds them, prints nothing, and ``%unload_ext shadownb`` takes everything away again. A mistake in
what was typed is one line, a failure that the engine explains is its explanation, anything else keeps its traceback.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Self

import click
from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Unicode

from shadownb._verbs import DEFAULT_MODEL, FrontEnd, one_line, verbs_for
from shadownb._verbs.candidates import Candidates, after_line, in_body
from shadownb.engine import registry
from shadownb.errors import ConfigError, ShadowError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from shadownb.engine.models import Model
    from shadownb.engine.ports.chat_model import ChatModel
    from shadownb.engine.runs import Run

# The verb may follow an assignment.
_BEFORE_VERB = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%%?shadow\s+")
_CELL = re.compile(r"^%%shadow\b(.*)")
_BEFORE_OTHERS = 1000.0  # IPython's own matchers have priorities up to about 100
_KINDS = {"verb": "function", "option": "param", "key": "param"}  # in the words that front ends have symbols for


class NotebookFrontEnd(FrontEnd):
    """A cell: results are returned, panels are displayed."""

    prog = "%shadow"
    notebook = True

    def __init__(
        self,
        shell: InteractiveShell,
        *,
        body: str | None = None,
        default_model: str = DEFAULT_MODEL,
    ) -> None:
        super().__init__(shell.user_ns, body=body, default_model=default_model)
        self.shell = shell
        self.kernel = getattr(shell, "kernel", None)

    def panel(self, name: str, **subject: Any) -> Any:
        return registry.resolve("panel", name)(**subject)

    def attach(self, run: Run) -> Any:
        return self.panel("run", run=run)

    def answer(self, model: ChatModel, messages: list[dict[str, str]], sampling: dict[str, Any]) -> Answer:
        return Answer(self.say(model, messages, sampling), shell=self.shell)

    def converse(self, model: Model | None, sampling: dict[str, Any]) -> Any:
        if sampling:
            self.refuse(f"{', '.join(sampling)} needs a message: %shadow chat MODEL MESSAGE, or a %%shadow chat cell")
        return self.panel("chat", **({} if model is None else {"model": model}))

    def confirm(self, question: str) -> bool:
        self.refuse(f"{question} Add --yes to do it")


class Answer(str):
    """A reply that was streamed into a cell, so that this cell does not show it a second time."""

    _shell: InteractiveShell
    _shown_in: int

    def __new__(cls, text: str, *, shell: InteractiveShell) -> Self:
        answer = super().__new__(cls, text)
        answer._shell, answer._shown_in = shell, shell.execution_count
        return answer

    def _ipython_display_(self) -> None:
        if self._shell.execution_count != self._shown_in:
            print(self)


@magics_class
class ShadowMagics(Magics):
    """The ``%shadow`` magic and what it adds to a shell."""

    model = Unicode(DEFAULT_MODEL, help="Model to use if none is named.").tag(config=True)

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.verbs = verbs_for(NotebookFrontEnd)

    @line_cell_magic
    def shadow(self, line: str, cell: str | None = None) -> Any:
        """Fine-tune, watch and use small language models; %shadow help lists the verbs."""
        front_end = NotebookFrontEnd(self.shell, body=cell, default_model=self.model)
        words = _words(line)
        if cell is not None and words[:1] not in (["train"], ["chat"], ["generate"]):
            raise UsageError("Only train, chat and generate take a cell body; type %shadow in one line instead.")
        try:
            with self.verbs.make_context(front_end.prog, words, obj=front_end) as context:
                result = self.verbs.invoke(context)
        except click.exceptions.Exit:
            return None
        except click.Abort:
            raise UsageError("Nothing was done.") from None
        except (click.ClickException, ConfigError) as error:
            raise UsageError(one_line(error)) from None
        except ShadowError as error:
            _explain(error)
            raise
        if front_end.target is not None:
            self.shell.user_ns[front_end.target] = result
        return result

    @context_matcher(priority=_BEFORE_OTHERS, identifier="ShadowMagics.matcher", api_version=2)
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return what may be typed in a ``%shadow`` line or ``%%shadow`` cell, and keep all other matchers out of it."""
        found = self._candidates(context)
        if found is None:
            return {"completions": []}
        kind = _KINDS.get(found.kind, "instance")
        items = [SimpleCompletion(text, type=kind) for text in found.found]
        return {
            "completions": _Answer(items),
            "matched_fragment": found.fragment,
            "suppress": True,
            "ordered": True,
        }

    def _candidates(self, context: CompletionContext) -> Candidates | None:
        """Return what may be typed, or None where the cursor is in no text of ours."""
        front_end = NotebookFrontEnd(self.shell, default_model=self.model)
        lines = context.full_text.split("\n")
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        cell = _CELL.match(lines[first])
        if cell is not None and context.cursor_line > first:
            at = context.cursor_line - first - 1
            return in_body(self.verbs, front_end, cell[1], lines[first + 1 :], at, context.cursor_position)
        typed = context.text_until_cursor
        before = _BEFORE_VERB.match(typed)
        return after_line(self.verbs, front_end, typed[before.end() :]) if before is not None else None


class _Answer(list[SimpleCompletion]):
    """Completions that are an answer even where there are none: IPython suppresses other matchers only for a list with items."""

    def __len__(self) -> int:
        return max(1, super().__len__())


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%shadow`` and its completion to a shell; doing it twice changes nothing."""
    unload_ipython_extension(shell)
    magics = ShadowMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what :func:`load_ipython_extension` added."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("shadow", None)
    shell.magics_manager.registry.pop(ShadowMagics.__name__, None)
    shell.configurables[:] = [part for part in shell.configurables if not isinstance(part, ShadowMagics)]
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if not isinstance(getattr(matcher, "__self__", None), ShadowMagics)]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError("A quote is not closed; put text in double quotes, or below %%shadow.") from None


def _explain(error: ShadowError) -> None:
    """Make IPython show the error's own text in place of the traceback."""
    error._render_traceback_ = lambda: [f"{type(error).__name__}: {error.as_text()}"]  # type: ignore[attr-defined]
