"""The ``judge`` verb: a model judges attempts at tasks, and what people said of some measures it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.options import MODEL_OPTIONS, Choice, Value, given, model_options

if TYPE_CHECKING:
    from shadownb.engine.judging import JudgedGroups


def complete_attempts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what can be judged: recordings, evaluations, rows."""
    from shadownb.engine.capture import captures
    from shadownb.engine.evals import evaluations

    kept = [*(each["id"] for each in captures.list(limit=30)), *evaluations.list()[:30]]
    return [
        *(name for name in kept if name.startswith(incomplete)),
        *completion.complete_data(ctx, param, incomplete),
    ]


@verb("judge")
@click.argument(
    "attempts",
    metavar="WHAT",
    shell_complete=complete_attempts,
    help="Variable (trajectories, groups, rows, an evaluation), recording, evaluation, or file of rows with answers.",
)
@click.argument(
    "judge",
    metavar="JUDGE",
    shell_complete=completion.complete_model,
    help="Variable (model, endpoint, Judge), run id or name.",
)
@click.option("--rubric", help="What makes an answer good, in plain words; or the body of a cell, or --rubric-file.")
@click.option("--rubric-file", type=click.Path(exists=True, dir_okay=False), help="File with the rubric.")
@click.option("--use", type=Choice(["base", "tuned"]), help="Which weights of a trained model judge.")
@click.option("--limit", type=Value("int"), help="At most so many groups, drawn with a fixed seed.")
@click.option("--orders", type=Value("int"), help="In how many orders attempts are shown at most.")
@click.option("--max-requests", type=Value("int"), help="Prompts at most; what is not asked has no score.")
@click.option("--max-cost", type=Value("float"), help="US dollars at most, of an endpoint whose prices are known.")
@click.option(
    "--preferences", metavar="FILE", help="Write pairs of a better and a worse attempt as JSON lines, for dpo."
)
@click.option("--best", metavar="FILE", help="Write the best attempt of each group as JSON lines, for sft.")
@click.option("--threshold", type=Value("float"), help="The least score that --best takes.")
@model_options
def judge(
    front_end: FrontEnd,
    attempts: str,
    judge: str,
    rubric: str | None,
    rubric_file: str | None,
    preferences: str | None,
    best: str | None,
    **_: Any,
) -> Any:
    """Judge attempts side by side, say how far people agree, and write what is to be trained on.

    Attempts at the same task are judged together. Ratings of a recording, grades of an evaluation and verdicts of rows measure the
    judge.

    Example: PROG judge tickets smollm2-135m --rubric "Right answers name the queue." --limit 50
    Example: PROG judge answers.jsonl RUN --preferences pairs.jsonl --best best.jsonl --threshold 0.8
    """
    from shadownb.engine import judging

    if given(("threshold",)) and best is None:
        front_end.refuse("--threshold goes with --best")
    options = given(("use", "orders", "max_requests", "max_cost"))
    who = front_end.variables.get(judge)
    if isinstance(who, judging.Judge):
        if options or rubric or rubric_file or front_end.body:
            front_end.refuse(
                f"{judge} is a Judge with a rubric and options of its own; leave them out, or name its model"
            )
        told = None
    else:
        who = front_end.chat_model(judge, **given(MODEL_OPTIONS))
        told = _rubric(front_end, rubric, rubric_file)
    judged = judging.judge(_attempts(front_end, attempts), who, told, **given(("limit",)), **options)
    _tell(front_end, judged)
    if preferences is not None:
        _write(front_end, judged.to_preferences(), preferences)
    if best is not None:
        _write(front_end, judged.best(**given(("threshold",))), best)
    return judged


def _rubric(front_end: FrontEnd, rubric: str | None, file: str | None) -> str | None:
    said = [text for text in (rubric, front_end.body) if text and text.strip()]
    said += [Path(file).read_text(encoding="utf-8")] if file is not None else []
    if len(said) > 1:
        front_end.refuse("the rubric is given twice; give --rubric, --rubric-file, or the body of the cell")
    return said[0] if said else None


def _attempts(front_end: FrontEnd, name: str) -> Any:
    """Return what a name means: a variable, a recording, an evaluation, rows."""
    from shadownb.engine.capture import CaptureStore, captures
    from shadownb.engine.evals import evaluations

    if name in front_end.variables:
        return front_end.variables[name]
    if any(each["id"] == name for each in captures.list()):
        return CaptureStore.open(name)
    if name in evaluations.list():
        return evaluations.open(name)
    return front_end.data(name)


def _tell(front_end: FrontEnd, judged: JudgedGroups) -> None:
    """Say where the judge is doubtful, and how good it is where enough is known."""
    from shadownb.errors import DataError

    found = judged.disagreements()
    told = [f"group {each.group + 1}: {each.what}" for each in found[:3]]
    if len(found) > len(told):
        told.append(f"and {len(found) - len(told)} more disagreements")
    try:
        told += judged.calibrate().sentences()
    except DataError:
        told.append(
            "How good the judge is cannot be said yet: rate some attempts, drawn by chance (the Judge panel asks)."
        )
    front_end.note("\n".join(told))


def _write(front_end: FrontEnd, rows: list[dict[str, Any]], file: str) -> None:
    from shadownb.engine.data import Dataset

    path = Dataset.from_list(rows).save(file)
    front_end.note(f"{len(rows):,} rows in {path}")
