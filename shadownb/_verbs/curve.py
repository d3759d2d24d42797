"""The ``curve`` verb: would more rows help? Training on growing parts, scored on held-out rows."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.lab import complete_scorer, scorer_of
from shadownb._verbs.options import (
    DATA_OPTIONS,
    MODEL_OPTIONS,
    TrainingVerb,
    Value,
    data_options,
    given,
    model_options,
    reading_of,
)
from shadownb.engine.config_objectives import option_names

_OWN = ("seeds", "test_size", "group", "time", "worth", "max_new_tokens")


@verb("curve", TrainingVerb)
@click.argument(
    "name", metavar="MODEL", shell_complete=completion.complete_model, help="Variable, alias, run id or folder."
)
@click.argument("data", metavar="DATA", shell_complete=completion.complete_data, help="Rows to train on.")
@click.option("--scorer", default="exact", shell_complete=complete_scorer, help="How held-out answers are scored.")
@click.option(
    "--held-out", shell_complete=completion.complete_data, help="Rows that are never trained on; else some are."
)
@click.option("--fractions", help="Shares of the rows, such as 0.25,0.5,1.")
@click.option(
    "--seeds", type=Value("int"), help="Trainings of each part (default 2); one cannot tell a rise from luck."
)
@click.option("--test-size", type=Value("float"), help="How much is held out without --held-out (default 0.2).")
@click.option("--group", help="Column: rows with the same value are on one side of the split.")
@click.option("--time", help="Column: the latest rows are held out.")
@click.option("--worth", type=Value("float"), help="Least gain by twice as many rows that is worth it (default 0.02).")
@click.option("--max-new-tokens", type=Value("int"), help="Longest answer.")
@click.option("--folder", help="Name of the curve; one that broke off goes on.")
@data_options
@model_options
def curve(
    front_end: FrontEnd,
    name: str,
    data: str,
    scorer: str,
    held_out: str | None,
    fractions: str | None,
    folder: str | None,
    **_: Any,
) -> Any:
    """Train on growing parts of the rows and say whether more of them are likely to pay.

    Example: PROG curve smollm2-135m rows.jsonl --scorer json_exact --fractions 0.25,0.5,1 --seeds 3
    """
    from shadownb.engine.evals.learning import learning_curve

    reading = reading_of(given(DATA_OPTIONS))
    chosen = {} if fractions is None else {"fractions": _numbers(front_end, fractions)}
    return learning_curve(
        front_end.model(name, **given(MODEL_OPTIONS)),
        front_end.data(data, **reading),
        scorer_of(front_end, scorer),
        held_out=None if held_out is None else front_end.data(held_out),
        name=folder,
        **chosen,
        **given(_OWN),
        **given([option for option in option_names() if option not in _OWN]),
    )


def _numbers(front_end: FrontEnd, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        front_end.refuse(f"--fractions {text}: give shares such as 0.25,0.5,1")
