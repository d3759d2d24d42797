"""The ``eval`` verb: models on suites, kept in a folder, with intervals and conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.lab import complete_scorer, scorer_of
from shadownb._verbs.options import DATA_OPTIONS, MODEL_OPTIONS, Value, data_options, given, model_options, reading_of

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation import Contender, Evaluation


@verb("eval")
@click.argument("name", metavar="MODEL", shell_complete=completion.complete_model, help="Variable, run id or folder.")
@click.argument("suites", metavar="SUITE...", nargs=-1, help="Names of suites; without one, those that there are.")
@click.option("--against", multiple=True, help="Another model, or a variable that holds an endpoint; may be repeated.")
@click.option(
    "--checkpoint",
    type=Value("int"),
    multiple=True,
    help="A kept step of the run that trained MODEL, beside its end; may be repeated.",
)
@click.option("--rows", help="Held-out rows of yours as a suite besides.", shell_complete=completion.complete_data)
@click.option(
    "--scorer",
    default="exact",
    shell_complete=complete_scorer,
    help="How answers to --rows are judged: a variable, or the name of a scorer.",
)
@click.option("--rows-name", help="What --rows are called in tables and conditions; else as the scorer.")
@click.option("--limit", type=Value("int"), help="Only so many items of each suite, drawn with a fixed seed.")
@click.option("--samples", type=Value("int"), help="Answers to each item; more than one needs --temperature.")
@click.option("--temperature", type=Value("float"), help="0 takes the likeliest token.")
@click.option("--max-new-tokens", type=Value("int"), help="Longest answer.")
@click.option("--folder", "--name", "folder", help="Name of the evaluation; one that broke off goes on.")
@click.option("--require", multiple=True, help="A condition, such as 'sql >= base - 2 points'; may be repeated.")
@click.option("--report", help="Write the report to this file: HTML, or Markdown where it ends in .md.")
@click.option("--generate-only", is_flag=True, help="Keep the answers and grade them by a later call of this --folder.")
@click.option(
    "--samples-to",
    metavar="FILE",
    help="Write each suite's answers and verdicts as {task_id, completion} lines; without .jsonl a folder as MultiPL-E has it.",
)
@model_options
@data_options
def evaluate(
    front_end: FrontEnd,
    name: str,
    suites: tuple[str, ...],
    against: tuple[str, ...],
    checkpoint: tuple[int, ...],
    rows: str | None,
    scorer: str,
    rows_name: str | None,
    folder: str | None,
    require: tuple[str, ...],
    report: str | None,
    generate_only: bool,
    samples_to: str | None,
    **_: Any,
) -> Any:
    """Ask models the items of suites, grade the answers, and say how sure the difference is.

    Answers of other tools are graded alike: in the place of MODEL stands their file of {task_id, completion} lines, or MultiPL-E's
    folder.

    Example: PROG eval model humaneval sql --limit 50 --require "humaneval >= base - 2 points"
    Example: PROG eval RUN text sql --rows held_out.jsonl --scorer json_exact --checkpoint 40 --report report.html
    Example: PROG eval model humaneval --generate-only --samples-to samples.jsonl
    Example: PROG eval samples.jsonl humaneval
    """
    from shadownb.engine.evals import suites as known
    from shadownb.engine.evals.evaluation import evaluate as evaluated
    from shadownb.errors import ConfigError

    asked: list[Any] = list(suites)
    if rows is not None:
        asked.append(
            known.rows(
                front_end.data(rows, **reading_of(given(DATA_OPTIONS))), scorer_of(front_end, scorer), name=rows_name
            )
        )
    if not asked:
        raise ConfigError("No suite was named.", fix=f"Name one of {', '.join(known.available())}, or give --rows.")
    model = _answers_of(front_end, name, **given(MODEL_OPTIONS))
    listed = [
        model,
        *(_at_step(model, step) for step in checkpoint),
        *(_answers_of(front_end, each) for each in against),
    ]
    found = evaluated(
        listed,
        asked,
        name=folder,
        grade=not generate_only,
        **given(("limit", "samples", "temperature", "max_new_tokens")),
    )
    if samples_to is not None:
        _write_samples(found, asked, Path(samples_to))
    if report is not None:
        (found.to_markdown if report.lower().endswith((".md", ".markdown")) else found.to_html)(report)
    if require:
        found.require(*require)
    return found


def _answers_of(front_end: FrontEnd, name: str, **options: Any) -> Any:
    """Return who answers under a name: a file of samples, else a model or an endpoint."""
    from shadownb.engine.evals.suites.given_answers import Samples, is_samples

    if name not in front_end.variables and is_samples(name):
        return Samples(name)
    return front_end.chat_model(name, **options)


def _at_step(model: Any, step: int) -> Contender:
    """Return a model as it was at a kept step of the run that trained it."""
    from shadownb.engine import runs
    from shadownb.engine.evals.evaluation import Contender
    from shadownb.errors import ConfigError

    trained = getattr(model, "trained", None)
    kept = {each.step: each for each in runs.load(trained[0]).checkpoints()} if trained else {}
    if step not in kept:
        raise ConfigError(
            f"checkpoint={step} is not kept." if kept else f"checkpoint={step}: no run trained this model.",
            fix=f"Give one of {', '.join(map(str, kept))}." if kept else "Give the id of a run as MODEL.",
        )
    return Contender(model, use=kept[step])


def _write_samples(found: Evaluation, asked: list[Any], path: Path) -> None:
    """Write the answers of each side to each suite; where there are several, the file's name says whose they are."""
    from shadownb.engine.evals import suites as known

    made = [known.get(suite) for suite in asked]
    several = len(made) > 1, len(found.sides) > 1
    for suite in (suite for suite in made if suite.name in found.suites):
        for side in found.sides:
            told = [name for name, wanted in zip((suite.name, side), several, strict=True) if wanted]
            stem, dot, kind = path.name.partition(".")
            known.write_samples(found, suite, path.with_name("-".join([stem, *told]) + dot + kind), side=side)
