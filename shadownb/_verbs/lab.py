"""The ``lab`` verb: does a scorer tell right from wrong, and what fools it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import Value, given
from shadownb.engine import registry


def complete_scorer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a scorer: one by its name, or a function of the notebook."""
    variables = ctx.obj.variables if isinstance(ctx.obj, FrontEnd) else {}
    mine = [name for name, value in variables.items() if callable(value) and not name.startswith("_")]
    return [name for name in (*registry.names("scorer"), *mine) if name.startswith(incomplete)]


@verb("lab")
@click.argument(
    "scorer", metavar="SCORER", shell_complete=complete_scorer, help="Variable, name of a scorer, or module:function."
)
@click.argument("good", metavar="GOOD", shell_complete=completion.complete_data, help="Rows with right answers.")
@click.option(
    "--bad", shell_complete=completion.complete_data, help="Rows with wrong answers; else those of other rows."
)
@click.option("--expected", help="Column with the expected answer; else what it is usually called.")
@click.option("--max-rows", type=Value("int"), help="Rows that are looked at, spread over all.")
def lab(front_end: FrontEnd, scorer: str, good: str, bad: str | None, **_: Any) -> Any:
    """Look whether a scorer tells right answers from wrong ones, and what fools it.

    Example: PROG lab numeric questions.jsonl --expected answer
    """
    from shadownb.engine import scoring

    return scoring.lab(
        scorer_of(front_end, scorer),
        _answers(front_end, good),
        None if bad is None else _answers(front_end, bad),
        **given(("expected", "max_rows")),
    )


def scorer_of(front_end: FrontEnd, name: str) -> Any:
    """Return the scorer of a name: a variable's, else the name, which the registry knows."""
    value = front_end.variables.get(name)
    return value if callable(value) or isinstance(value, Mapping | list | str) else name


def _answers(front_end: FrontEnd, name: str) -> Any:
    """Return a variable's rows or texts as they are, with all their columns; else what a data set's name means."""
    value = front_end.variables.get(name)
    return value if isinstance(value, list) else front_end.data(name).rows
