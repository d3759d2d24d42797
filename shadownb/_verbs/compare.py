"""The ``compare`` verb: base and tuned, and others, on the same held-out rows. Runs are compared by ``diff``."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import (
    DATA_OPTIONS,
    MODEL_OPTIONS,
    RegisteredChoice,
    Value,
    data_options,
    given,
    model_options,
    reading_of,
)
from shadownb._verbs.words import check_order
from shadownb.engine import registry


@verb("compare")
@click.argument("name", metavar="MODEL", shell_complete=completion.complete_model, help="Variable, run id or folder.")
@click.argument("data", metavar="DATA", shell_complete=completion.complete_data, help="Held-out rows with answers.")
@click.option(
    "--scorer",
    type=RegisteredChoice(lambda: registry.names("scorer")),
    default="exact",
    help="How answers are scored: exact, json_exact, or a scorer of an installed package.",
)
@click.option("--against", multiple=True, help="Another model, or a variable that holds an endpoint; may be repeated.")
@click.option("--max-rows", type=Value("int"), help="Only this many rows, from the first.")
@click.option("--max-new-tokens", type=Value("int"), help="Longest answer.")
@model_options
@data_options
def compare(front_end: FrontEnd, name: str, data: str, scorer: str, against: tuple[str, ...], **_: Any) -> Any:
    """Answer held-out rows with base and tuned weights, and score them.

    Example: PROG compare model held_out --scorer json_exact --against rented
    """
    from shadownb.engine.evals import compare as compared

    check_order((name, data), front_end, "compare")
    others = {each: front_end.chat_model(each) for each in against}
    return compared(
        front_end.chat_model(name, **given(MODEL_OPTIONS)),
        front_end.data(data, **reading_of(given(DATA_OPTIONS))),
        scorer,
        against=others or None,
        **given(("max_rows", "max_new_tokens")),
    )
