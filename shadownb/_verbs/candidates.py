"""What may follow the text of a ``%shadow`` line or a ``%%shadow`` cell, best first; IPython's own rules play no part.

A line is split as the magic splits it. Of a cell's body only ``train`` has something to complete: its YAML.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import click
from click.shell_completion import ShellComplete

from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import MODEL_OPTIONS, ConfigOption

# In the order in which people come to need them; the others follow by name.
_VERBS = (
    "train",
    "load",
    "chat",
    "studio",
    "runs",
    "watch",
    "plot",
    "compare",
    "eval",
    "judge",
    "curve",
    "diff",
    "inspect",
    "models",
    "methods",
    "stop",
)
_FIRST_KEYS = ("model", "dataset", "eval_dataset", "method", "background")
_KEY = re.compile(r"^([\w-]*)$")
_VALUE = re.compile(r"^([\w-]+)\s*:\s+(?:\[(?:[^\]]*,)?\s*)?([^\s\[\],]*)$")
_ITEM = re.compile(r"^\s*-\s+(\S*)$")


@dataclass(frozen=True)
class Candidates:
    """What may be typed.

    Attributes
    ----------
    fragment
        The end of the text that a candidate takes the place of.
    found
        The candidates, best first.
    kind
        What they are: ``verb``, ``option``, ``value`` or ``key``.
    """

    fragment: str
    found: tuple[str, ...] = ()
    kind: str = "value"


def after_line(verbs: click.Group, front_end: FrontEnd, typed: str) -> Candidates:
    """Return what may follow a line; ``typed`` is what stands behind ``%shadow`` before the cursor."""
    words, raw, word = _split(typed)
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        word = name.replace("_", "-") + equals + value
        if equals:
            raw = raw.partition("=")[2]
    shell = ShellComplete(verbs, {"obj": front_end}, front_end.prog, "")
    found = [item.value for item in shell.get_completions(words, word)]
    if not words:
        return Candidates(raw, tuple(sorted(found, key=_verb_rank)), "verb")
    command = verbs.commands.get(words[0])
    if (word.startswith("-") and "=" not in word) or not (found or word or _wants_value(command, words[-1])):
        options = [item.value for item in shell.get_completions(words, "--")]
        asked = word.lstrip("-")
        # One that only has the letters somewhere is better than none.
        found = found or [option for option in options if asked in option and option.startswith("--")]
        return Candidates(raw, tuple(sorted(found, key=_option_rank(command))), "option")
    return Candidates(raw, tuple(_quoted(value, raw) for value in found))


def in_body(verbs: click.Group, front_end: FrontEnd, head: str, body: list[str], at: int, column: int) -> Candidates:
    """Return what may be typed in the body of a cell.

    Parameters
    ----------
    head
        The first line behind ``%%shadow``.
    body
        The lines below it.
    at, column
        Where the cursor is in the body.
    """
    before, behind = body[at][:column], body[at][column:]
    words = _split(head)[0] or head.split()
    command = verbs.commands.get("train")
    if words[:1] != ["train"] or command is None:
        return Candidates("")
    context = click.Context(command, info_name="train", obj=front_end, resilient_parsing=True)
    options = {
        str(param.name): param for param in command.params if isinstance(param, click.Option) and param.expose_value
    }
    options.pop("file", None)
    if (key := _KEY.match(before)) is not None:
        given = {line.partition(":")[0].strip() for number, line in enumerate(body) if number != at and ":" in line}
        typed = key[1].replace("-", "_")
        names = [name for name in options if name and name not in given]
        starting = [name for name in names if name.startswith(typed)] or [name for name in names if typed in name]
        end = "" if behind.lstrip().startswith(":") else ": "
        ranked = sorted(starting, key=_key_rank(options))
        return Candidates(key[1], tuple(name + end for name in ranked), "key")
    value = _VALUE.match(before)
    item = _ITEM.match(before)
    if value is not None:
        name, fragment = value[1], value[2]
    elif item is not None:
        above = [line for line in body[:at] if line[:1].strip() and ":" in line]
        name, fragment = (above[-1].partition(":")[0] if above else ""), item[1]
    else:
        return Candidates("")
    option = options.get(name.strip().replace("-", "_"))
    if option is None:
        return Candidates(fragment)
    quote = fragment[:1] if fragment[:1] in "'\"" else ""
    found = _values(option, context, fragment[len(quote) :])
    return Candidates(fragment, tuple(f"{quote}{found_one}{quote}" for found_one in found))


def _values(option: click.Option, context: click.Context, incomplete: str) -> list[str]:
    if option.is_flag:
        return [word for word in ("true", "false") if word.startswith(incomplete)]
    return [item.value for item in option.shell_complete(context, incomplete)]


def _split(typed: str) -> tuple[list[str], str, str]:
    """Return (whole words, the last word as it is typed, the last word without its quotes), as the magic will split it."""
    words: list[str] = []
    raw = word = quote = ""
    letters = iter(typed)
    for letter in letters:
        if not quote and letter.isspace():
            if raw:
                words.append(word)
            raw = word = ""
            continue
        raw += letter
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter == "\\" and quote != "'":
            escaped = next(letters, "")
            raw, word = raw + escaped, word + escaped
        else:
            word += letter
    return words, raw, word


def _wants_value(command: click.Command | None, word: str) -> bool:
    """Return whether a word is an option whose value comes next."""
    options = (param for param in (command.params if command is not None else ()) if isinstance(param, click.Option))
    return any(word.replace("_", "-") in param.opts and not param.is_flag for param in options)


def _quoted(value: str, raw: str) -> str:
    """Return a value as it can stand in the line: in the quotes that were opened, or in quotes where it needs some."""
    if raw[:1] in ("'", '"') and raw[:1] not in value:
        return f"{raw[:1]}{value}{raw[:1]}"
    return value if value.startswith("~") and " " not in value else shlex.quote(value)


def _verb_rank(name: str) -> tuple[int, str]:
    return (_VERBS.index(name) if name in _VERBS else len(_VERBS), name)


def _rank(param: click.Parameter) -> int:
    """Return how early an option is needed: what is asked for everywhere, then the verb's own, loading, experts' options."""
    if isinstance(param, ConfigOption):
        return 3 if param.field.advanced else 0
    if param.name in MODEL_OPTIONS:
        return 2
    return 4 if param.name in ("help", "target") else 1


def _option_rank(command: click.Command | None) -> Callable[[str], tuple[int, int, int]]:
    places = {
        flag: (off, _rank(param), place)
        for place, param in enumerate(command.params if command is not None else ())
        for off, flags in enumerate((param.opts, param.secondary_opts))
        for flag in flags
    }
    return lambda flag: places.get(flag, (0, 9, 0))


def _key_rank(options: dict[str, click.Option]) -> Callable[[str], tuple[int, int, int]]:
    places = {name: (1, _rank(param), place) for place, (name, param) in enumerate(options.items())}
    return lambda name: (0, _FIRST_KEYS.index(name), 0) if name in _FIRST_KEYS else places[name]
