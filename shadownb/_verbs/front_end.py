"""FrontEnd: who types a verb. It looks names up and shows results; the verbs themselves are the same for every front end.

A name means, in this order: a kernel variable, then what the engine knows by that name (alias, run id, shipped data
set), then a path or hub id.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from shadownb._verbs import completion
from shadownb.errors import ShadowError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.models import Model
    from shadownb.engine.ports.chat_model import ChatModel
    from shadownb.engine.runs import Run

DEFAULT_MODEL = "smollm2-135m"


class FrontEnd:
    """The notebook or the shell, as the verbs see it.

    Parameters
    ----------
    variables
        The user's variables by name.
    body
        Text of the cell below ``%%shadow``, or None.
    default_model
        Model to use if none is named.
    """

    prog = "shadownb"
    notebook = False
    kernel: Any = None

    def __init__(
        self,
        variables: Mapping[str, Any] | None = None,
        *,
        body: str | None = None,
        default_model: str = DEFAULT_MODEL,
    ) -> None:
        self.variables = variables or {}
        self.body = body
        self.default_model = default_model
        self.target: str | None = None  # variable that gets the result, from --as

    # -- showing, different in each front end -------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Say something beside the result."""
        print(text, file=sys.stderr, flush=True)

    def panel(self, name: str, **subject: Any) -> Any:
        """Show a panel and return it."""
        raise NotImplementedError

    def watch(self, run: Run) -> Run:
        """Show a run that has just been started and return what the verb returns."""
        return run

    def attach(self, run: Run) -> Any:
        """Follow a run that may belong to another process."""
        raise NotImplementedError

    def answer(self, model: ChatModel, messages: list[dict[str, str]], sampling: dict[str, Any]) -> Any:
        """Show an answer while it is generated and return it."""
        raise NotImplementedError

    def converse(self, model: Model | None, sampling: dict[str, Any]) -> Any:
        """Open a conversation; no model means the default one."""
        raise NotImplementedError

    def confirm(self, question: str) -> bool:
        """Return whether the user agrees to something that cannot be undone."""
        raise NotImplementedError

    def secret(self, question: str) -> str:
        """Return what the user types where nobody sees it; the kernel passes the question to the page as it is."""
        return getpass.getpass(question)

    def say(self, model: ChatModel, messages: list[dict[str, str]], options: dict[str, Any]) -> str:
        """Print an answer piece by piece and return the whole of it."""
        answer = ""
        with closing(model.stream(messages, **options)) as stream:
            for part in stream.parts():
                if part.kind != "reasoning" and part.text:  # calls as the model wrote them
                    answer += part.text
                    print(part.text, end="", flush=True)
        print(flush=True)
        if stream.reply is not None and (stream.reply.malformed_calls or stream.reply.reasoning_open):
            self.note(" ".join(stream.reply.notes))
        return answer

    def refuse(self, message: str) -> NoReturn:
        """Stop because of what was typed."""
        raise click.UsageError(message)

    # -- looking up ----------------------------------------------------------------------------------------------

    def model(self, name: Any, **options: Any) -> Model:
        """Return the model of a name; ``options`` say how it is loaded if it is not in memory."""
        from shadownb.engine.models import Model, load
        from shadownb.engine.runs import Run

        value = self._variable(name)
        if isinstance(value, Run):
            return load(value.id, **options)
        if isinstance(value, Model):
            if options:
                flags = ", ".join(f"--{option}" for option in options)
                self.refuse(f"{name} is loaded already, so {flags} cannot apply; load it again with {flags}")
            return value
        if value is not None and not isinstance(value, str):
            self.refuse(f"{name} is a {type(value).__name__}, not a model")
        return load(value or name, **options)

    def chat_model(self, name: Any, **options: Any) -> ChatModel:
        """Return whoever answers under a name: a variable that holds an endpoint, else the model of :meth:`model`."""
        value = self._variable(name)
        is_endpoint = getattr(value, "has_base", True) is False and not options
        return cast("ChatModel", value if is_endpoint else self.model(name, **options))

    def unloaded(self, name: Any) -> Any:
        """Return what a model's name means without loading any weights: a variable's value, a run's id, or the name."""
        value = self._variable(name)
        return getattr(value, "id", value) if type(value).__name__ == "Run" else value or name

    def data(self, name: Any, **reading: Any) -> Dataset:
        """Return the data set of a name: a variable that holds rows, a shipped set, a file or a hub id.

        ``reading`` has ``columns`` and ``ignore``, as every constructor of Dataset takes them.
        """
        from shadownb.engine.data import Dataset, as_dataset, kind_of

        value = self._variable(name)
        if kind_of(value) is not None:
            return as_dataset(value, name, name=name, **reading)
        if value is not None and not isinstance(value, str | Path):
            self.refuse(f"{name} is a {type(value).__name__}, not data; give a Dataset, a list of rows or a DataFrame")
        text = str(value or name)
        path = Path(text).expanduser()
        if text in completion.data_names():
            shipped = Dataset.sample(
                text.removesuffix(".heldout"),
                "heldout" if text.endswith(".heldout") else "train",
            )
            return shipped.read_as(**reading) if reading else shipped
        if path.exists() or path.suffix in completion.DATA_SUFFIXES:
            return Dataset.load(path, **reading)
        if text.count("/") == 1 and all(text.split("/")):
            return Dataset.from_hub(text, **reading)
        known = [
            *completion.variables_of(self.variables, "Dataset"),
            *completion.data_names(),
        ]
        self.refuse(f"{text!r} is neither a variable, a shipped data set, nor a file.{did_you_mean(text, known)}")

    def eval_data(self, name: Any, **reading: Any) -> Any:
        """Return evaluation data: ``auto``, a share as number or percentage, or a data set, read as the training rows."""
        if not isinstance(name, str) or name == "auto" or name.endswith("%"):
            return name
        try:
            return float(name)
        except ValueError:
            data = self.data(name)
            return data.read_like(**reading) if reading else data

    def start(self, name: Any) -> Any:
        """Return what a run starts from as ``train`` takes it: a variable may hold a run."""
        from shadownb.engine.runs import Run

        value = None if name in ("base", "trained") else self._variable(name)
        return value if isinstance(value, Run | str) else name

    def run(self, name: str | None, *, going_on: bool = False) -> Run:
        """Return the run of a name; without a name the latest, with ``going_on`` the latest that has not ended."""
        from shadownb.engine import runs

        value = self._variable(name) if name else None
        if isinstance(value, runs.Run):
            return value
        if value is not None and not isinstance(value, str):
            self.refuse(f"{name} is a {type(value).__name__}, not a run")
        if wanted := value or name:
            return runs.load(wanted)
        active = runs.active() if going_on else ()
        return next(iter(active), None) or runs.latest()

    def has_model(self, name: Any) -> bool:
        """Return whether the name is a variable with a loaded model."""
        return name in completion.variables_of(self.variables, "Model")

    def _variable(self, name: Any) -> Any:
        return self.variables.get(name) if isinstance(name, str) else None


def one_line(error: click.ClickException | ShadowError) -> str:
    """Return a user mistake as one line, with the name that was probably meant."""
    text = error.as_text() if isinstance(error, ShadowError) else error.format_message()
    if isinstance(error, click.NoSuchOption):
        text = (
            f"{error.option_name} is not an option of {_path(error)}.{did_you_mean(error.option_name, _options(error))}"
        )
    elif isinstance(error, click.exceptions.NoSuchCommand) and isinstance(error.ctx and error.ctx.command, click.Group):
        verbs = list(error.ctx.command.commands)  # type: ignore[union-attr]
        text = f"{_path(error)} has no verb {error.command_name!r}.{did_you_mean(error.command_name, verbs)}"
    elif isinstance(error, click.MissingParameter):
        text = f"{text.rstrip('.')}; see {_path(error)} --help"
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    return " ".join(part if part[-1] in ".?!:" or part is parts[-1] else f"{part}." for part in parts)


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "shadow"


def _options(error: click.UsageError) -> list[str]:
    return [
        flag
        for param in (error.ctx.command.params if error.ctx else [])
        for flag in (*param.opts, *param.secondary_opts)
    ]
