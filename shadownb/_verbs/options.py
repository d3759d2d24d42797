"""Options of the verbs that are generated rather than written: one for each field of TrainConfig.

``--max-steps`` exists because ``TrainConfig.max_steps`` does; help, choices, unit, range and default come from the
field. Values are only given their type here, ranges and contradictions are TrainConfig's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import click

from shadownb._verbs import completion
from shadownb.engine import registry
from shadownb.engine.config import GROUPS
from shadownb.engine.config_fields import ConfigField, config_fields
from shadownb.engine.inference.types import EFFORTS
from shadownb.errors import did_you_mean

_FIELDS = {"method": completion.complete_method, "resume_from_checkpoint": completion.complete_saved}
MODEL_OPTIONS = ("backend", "device", "dtype", "quantize", "adapter", "accelerator")
THINKING_OPTIONS = ("enable_thinking", "reasoning_effort")
DATA_OPTIONS = ("columns", "ignore")
SAMPLING_OPTIONS = ("system", "max_new_tokens", "temperature", "top_p", "seed", "stop", *THINKING_OPTIONS)


class Value(click.ParamType[Any]):
    """The text of an option as a number or a string; ``none`` empties an optional field."""

    def __init__(self, kind: str, *, optional: bool = False) -> None:
        self.kind = kind
        self.optional = optional
        self.name = {"int": "whole number", "float": "number"}.get(kind, "text")

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return {"int": "N", "float": "X"}.get(self.kind, "TEXT")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if self.optional and value.lower() == "none":
            return None
        try:
            if self.kind == "int":
                return int(value)
            if self.kind == "float":
                # "8" stays a whole number: eval_steps=8 is a count where eval_steps=0.8 is a share.
                return int(value) if value.lstrip("+-").isdigit() else float(value)
        except ValueError:
            self.fail(f"{value!r} is not a {self.name}.", param, ctx)
        return value


class Choice(click.Choice[str]):
    """A choice that says which one was probably meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        names = [str(choice) for choice in self.choices]
        return f"{value!r} is not one of {', '.join(names)}.{did_you_mean(str(value), names)}"


class Verb(click.Command):
    """A command that takes ``--max_steps`` for ``--max-steps``, because code and YAML spell it so."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_dashed(arg) if arg.startswith("--") else arg for arg in args])


def _choices_of(field: ConfigField) -> Callable[[], tuple[str, ...]]:
    return lambda: field.choices


class RegisteredChoice(Choice):
    """A choice of what is registered when somebody asks, which a cell or a plugin adds to."""

    def __init__(self, names: Callable[[], tuple[str, ...]]) -> None:
        self._names = names
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        return self._names()

    @choices.setter
    def choices(self, value: tuple[str, ...]) -> None:
        """What click sets once is asked for anew."""


class GroupedVerb(Verb):
    """A verb whose help shows its generated options under the groups of TrainConfig."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        def group(param: click.Parameter) -> str:
            return getattr(param, "group", "")

        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        order = ("", *GROUPS)
        for name, members in groupby(sorted(options, key=lambda p: order.index(group(p))), key=group):
            records = [record for param in members if (record := param.get_help_record(ctx)) is not None]
            with formatter.section(name.capitalize() or "Options"):
                formatter.write_dl(records)


class ConfigOption(click.Option):
    """The option of one TrainConfig field."""

    def __init__(self, field: ConfigField) -> None:
        flag = field.name.replace("_", "-")
        kind: Any = None
        if field.kind == "choice":
            kind = Choice(field.listed) if field.registered is None else RegisteredChoice(_choices_of(field))
        elif field.kind != "bool":
            kind = Value("str" if field.kind == "list" else field.kind, optional=field.optional)
        super().__init__(
            [
                f"--{flag}/--no-{flag}" if field.kind == "bool" else f"--{flag}",
                field.name,
            ],
            type=kind,
            default=None,
            multiple=field.kind == "list",
            help=_help(field),
            shell_complete=None if field.kind == "choice" else _FIELDS.get(field.name, completion.complete_field),
        )
        self.field = field
        self.group = field.group


class TrainingVerb(GroupedVerb):
    """A verb that takes every option of a training, those of objectives that a cell or a plugin registers included."""

    _params: list[click.Parameter]
    _fields: tuple[ConfigField, ...] = ()  # of which there are options now

    @property
    def params(self) -> list[click.Parameter]:
        """The verb's own parameters, then one for each option as they are registered now; click adds to this very list."""
        fields = config_fields()
        if fields != self._fields:
            written = [param for param in self._params if not isinstance(param, ConfigOption)]
            self._params[:] = [*written, *(ConfigOption(field) for field in fields)]
            self._fields = fields
        return self._params

    @params.setter
    def params(self, value: list[click.Parameter]) -> None:
        self._params, self._fields = list(value), ()


def given(names: Iterable[str]) -> dict[str, Any]:
    """Return those of the options ``names`` that were typed, an explicit ``none`` included."""
    ctx = click.get_current_context()
    default = (
        click.core.ParameterSource.DEFAULT,
        click.core.ParameterSource.DEFAULT_MAP,
    )
    return {
        name: list(value) if isinstance(value := ctx.params[name], tuple) else value
        for name in names
        if name in ctx.params and ctx.get_parameter_source(name) not in default
    }


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a model given by name is loaded."""
    for option in reversed(
        (
            click.option(
                "--backend",
                type=RegisteredChoice(lambda: ("auto", *registry.names("backend"))),
                help="Framework that runs the model: auto or torch (default: auto).",
            ),
            click.option(
                "--device",
                shell_complete=completion.complete_device,
                help="Device such as cpu, cuda:0, mps (default: auto).",
            ),
            click.option(
                "--dtype",
                type=Choice(["auto", "float32", "bfloat16", "float16"]),
                help="Number format of the weights (default: auto).",
            ),
            click.option(
                "--quantize",
                type=Choice(["4bit", "8bit"]),
                help="Load the base in 4 or 8 bits.",
            ),
            click.option(
                "--adapter", shell_complete=completion.complete_saved, help="Adapter folder to put on the base."
            ),
            click.option(
                "--accelerator",
                type=Choice(["auto", "shadow", "none"]),
                help="auto: what makes training faster; shadow: also what saves memory on CUDA; none: neither (default: auto).",
            ),
        )
    ):
        command = option(command)
    return command


def thinking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say whether the model thinks before its answer."""
    for option in reversed(
        (
            click.option(
                "--enable-thinking/--disable-thinking",
                default=None,
                help="Whether to think before the answer (default: as trained, else the chat template's).",
            ),
            click.option(
                "--reasoning-effort",
                type=Choice(EFFORTS),
                help="How much to think, if the chat template supports it.",
            ),
        )
    ):
        command = option(command)
    return command


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how rows are read."""
    for option in reversed(
        (
            click.option(
                "--columns",
                metavar="COLUMN=NAME",
                multiple=True,
                help="Map columns of your rows to known ones: frage=prompt,antwort=completion; may be repeated.",
            ),
            click.option(
                "--ignore",
                metavar="COLUMN",
                multiple=True,
                help="Column (or key in messages, such as messages[].audio) to leave out; may be repeated.",
            ),
        )
    ):
        command = option(command)
    return command


def reading_of(values: dict[str, Any]) -> dict[str, Any]:
    """Take the data options out of ``values`` and return them as the constructors of Dataset take them.

    Raises
    ------
    click.UsageError
        ``columns`` is no list of ``column=name``, and no mapping.
    """
    columns, ignore = values.pop("columns", None) or {}, values.pop("ignore", None) or ()
    if not isinstance(columns, dict):
        pairs = [pair for text in ([columns] if isinstance(columns, str) else columns) for pair in str(text).split(",")]
        wrong = next((pair for pair in pairs if not all(part.strip() for part in pair.rpartition("="))), None)
        if wrong is not None:
            raise click.UsageError(f"--columns {wrong!r} is not COLUMN=NAME, for example frage=prompt")
        columns = {pair.rpartition("=")[0].strip(): pair.rpartition("=")[2].strip() for pair in pairs}
    names = [ignore] if isinstance(ignore, str) else list(ignore)
    return {"columns": columns, "ignore": names} if columns or names else {}


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how text is generated."""
    for option in reversed(
        (
            click.option(
                "--system",
                type=Value("str", optional=True),
                help="System prompt; none for none (default: the one that the rows of the training share).",
            ),
            click.option(
                "--max-new-tokens",
                type=Value("int"),
                help="Longest answer (default: 256 tokens).",
            ),
            click.option("--temperature", type=Value("float"), help="0 is greedy (default: 0.7)."),
            click.option(
                "--top-p",
                type=Value("float"),
                help="Sample from the likeliest tokens that hold this share of the probability (default: 0.95).",
            ),
            click.option("--seed", type=Value("int"), help="Makes sampling repeatable."),
            click.option(
                "--stop",
                multiple=True,
                help="Text that ends the answer; may be repeated.",
            ),
            click.option(
                "--use",
                type=Choice(["tuned", "base"]),
                help="Which weights answer (default: tuned).",
            ),
        )
    ):
        command = option(command)
    return thinking_options(command)


def _dashed(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return name.replace("_", "-") + equals + value


def _help(field: ConfigField) -> str:
    notes = [field.unit] if field.unit else []
    if field.minimum is not None:
        notes.append(f"at least {field.minimum:g}")
    if field.exclusive_minimum is not None:
        notes.append(f"above {field.exclusive_minimum:g}")
    if field.maximum is not None:
        notes.append(f"up to {field.maximum:g}")
    if field.kind == "list":
        notes.append("may be repeated")
    elif field.default is not None:
        default = str(field.default).lower() if field.kind == "bool" else field.default
        notes.append(f"default: {default}")
    return f"{field.help} [{'; '.join(notes)}]" if notes else field.help
