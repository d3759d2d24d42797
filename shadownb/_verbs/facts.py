"""The verb about facts: list, add, update, remove, search, route, test, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import Choice

# What each action takes behind the model's name.
_TAKES = {
    "list": (), "add": ("QUESTION or FILE", "[ANSWER]"), "update": ("QUESTION", "ANSWER"), "remove": ("QUESTION",),
    "search": ("TEXT",), "route": ("QUESTION",), "test": ("[QUESTION]",), "export": ("FILE",), "undo": (),
}  # fmt: skip
_CHANGE = ("add", "update", "remove", "undo")


@verb("facts")
@click.argument("action", type=Choice(list(_TAKES)))
@click.argument(
    "name",
    metavar="MODEL",
    shell_complete=completion.complete_model,
    help="Variable, alias, hub id, folder or run id.",
)
@click.argument(
    "words", metavar="[TEXT ...]", nargs=-1, help="What the action is about: a question, its answer, a file."
)
@click.option(
    "--method",
    type=Choice(["more_plus", "more"]),
    default=None,
    help="How the first facts of a model are kept: an expert each (more_plus), or read token by token (more).",
)
@click.option("--source", default="", help="Where an added fact is from; it comes with the answers.")
@click.option(
    "--save",
    "folder",
    type=click.Path(file_okay=False),
    help="Save the model to this folder after the edit; in a shell nothing else keeps it in one place.",
)
def facts(
    front_end: FrontEnd,
    action: str,
    name: str,
    words: tuple[str, ...],
    method: str | None,
    source: str,
    folder: str | None,
) -> Any:
    """List, add, change, find and test facts.

    Example: PROG facts add smollm2-135m "What is the door code?" "58213" --save memory
    """
    takes = _TAKES[action]
    least = sum(not word.startswith("[") for word in takes)
    if not least <= len(words) <= len(takes):
        front_end.refuse(
            f"facts {action} takes {' '.join(takes) or 'nothing'} behind the model, not {len(words)} texts"
        )
    if folder is not None and action not in _CHANGE:
        front_end.refuse(f"--save goes with {', '.join(_CHANGE)}")
    if source and action not in ("add", "update"):
        front_end.refuse("--source goes with add and update")
    if method is not None and action not in ("add", "update"):
        front_end.refuse("--method goes with add and update")
    options: dict[str, Any] = {"method": method} if method is not None else {}
    model = front_end.model(name)
    known = model.facts
    if action == "add":
        from_file = len(words) == 1 and Path(words[0]).is_file()
        found: Any = known.add(Path(words[0]) if from_file else words[0], *words[1:], source=source, **options)
    elif action == "update":
        found = known.update(*words, source=source or None, **options)
    elif action == "route":
        found = known.route(words[0]).why
    elif action == "test" and not words:
        found = known.test()
    else:
        found = getattr(known, action)(*words)
    if folder is not None:
        model.save(folder)
    return found
