"""The verbs about sweeps: start one, show, resume and stop them, train the best."""

from __future__ import annotations

from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.listing import Listing
from shadownb._verbs.options import (
    DATA_OPTIONS,
    MODEL_OPTIONS,
    Choice,
    TrainingVerb,
    Value,
    data_options,
    given,
    model_options,
    reading_of,
)
from shadownb._verbs.words import model_and_data
from shadownb.engine.config_objectives import option_names
from shadownb.engine.sweeps.space import read
from shadownb.engine.sweeps.suggesting import PRUNERS, SAMPLERS


@verb("sweep", TrainingVerb)
@click.argument(
    "words",
    metavar="[MODEL] DATA",
    nargs=-1,
    shell_complete=completion.complete_model_or_data,
    help="Variables or names; with one word it is the data. Without any, a notebook shows the panel.",
)
@click.option(
    "--space",
    multiple=True,
    metavar="OPTION=VALUES",
    help="What to try: lora_r=4,8,16 or learning_rate=1e-5..1e-3:log; may be repeated.",
)
@click.option("--metric", default="eval_loss", help="What trials are compared by (default: eval_loss).")
@click.option(
    "--direction", type=Choice(["minimize", "maximize"]), help="Whether less or more is better (default: by the name)."
)
@click.option(
    "--budget", help="How many trials, or how long they train together, such as 90min (default: all combinations)."
)
@click.option("--sampler", type=Choice(["auto", *SAMPLERS]), default="auto", help="How combinations are chosen.")
@click.option("--pruner", type=Choice(["auto", *PRUNERS]), default="auto", help="Which trials are given up early.")
@click.option(
    "--sampler-seed", type=Value("int"), default=0, help="Makes the choice of combinations repeatable (default: 0)."
)
@click.option("--name", help="Name of the sweep.")
@click.option("--eval-dataset", shell_complete=completion.complete_eval_data, help="As for train (default: auto).")
@click.option("--start", shell_complete=completion.complete_start, help="What every trial begins with (default: base).")
@data_options
@model_options
def sweep(
    front_end: FrontEnd,
    words: tuple[str, ...],
    space: tuple[str, ...],
    metric: str,
    direction: Any,
    budget: str | None,
    sampler: Any,
    pruner: Any,
    sampler_seed: int,
    name: str | None,
    eval_dataset: str | None,
    start: str | None,
    **_: Any,
) -> Any:
    """Train with different options, one run after the other, and compare them.

    Example: PROG sweep smollm2-135m support-triage --space lora_r=4,8,16 --space learning_rate=1e-5..1e-3:log --budget 12
    """
    if front_end.notebook and not words and not space:
        return front_end.panel("sweep")
    named: dict[str, Any] = {}
    model_and_data(named, words, front_end, "sweep")
    if "dataset" not in named:
        front_end.refuse(f"sweep needs data: {front_end.prog} sweep [MODEL] DATA --space lora_r=4,8")
    wrong = next((pair for pair in space if not all(part.strip() for part in pair.partition("="))), None)
    if wrong is not None or not space:
        front_end.refuse(f"--space {wrong or ''!r} is not OPTION=VALUES, for example lora_r=4,8,16")
    reading = reading_of(given(DATA_OPTIONS))
    fields = given(option_names())
    method = fields.pop("method", "lora")
    wanted = {pair.partition("=")[0].strip().replace("-", "_"): pair.partition("=")[2] for pair in space}
    read(wanted, fields, method)  # what is wrong with it is said before a model is loaded
    model = front_end.model(named.get("model") or front_end.default_model, **given(MODEL_OPTIONS))
    made = model.sweep(
        front_end.data(named["dataset"], **reading),
        wanted,
        metric,
        int(budget) if budget is not None and budget.isdigit() else budget,
        direction=direction,
        sampler=sampler,
        pruner=pruner,
        seed=sampler_seed,
        name=name,
        method=method,
        eval_dataset=front_end.eval_data(eval_dataset or "auto", **reading),
        start=front_end.start(start or "base"),
        background=front_end.notebook,
        **fields,
    )
    return made


@verb("sweeps")
@click.argument("name", metavar="[SWEEP]", required=False, help="Its name; without it, the sweeps are listed.")
@click.option("--resume", is_flag=True, help="Go on with it.")
@click.option("--stop", is_flag=True, help="Stop it, and keep what the present trial has learned.")
@click.option("--train-best", is_flag=True, help="Train anew with the best trial's options.")
@click.option("--max-steps", type=Value("int"), help="With --train-best: other steps than the trials had.")
def sweeps(
    front_end: FrontEnd, name: str | None, resume: bool, stop: bool, train_best: bool, max_steps: int | None
) -> Any:
    """List sweeps; show, resume or stop one, or train its best."""
    from shadownb.engine import sweeps as known

    if name is None:
        found = [known.load(each) for each in known.list()]
        columns = {
            "sweep": lambda each: each.name,
            "status": lambda each: each.status,
            "trials": lambda each: sum(each.counts.values()),
            "metric": lambda each: each.metric,
        }
        return Listing(found, columns, empty="No sweeps yet.")
    chosen = known.load(name)
    if stop:
        return chosen.stop()
    if resume:
        return chosen.resume(background=front_end.notebook)
    if train_best:
        changes: dict[str, Any] = {} if max_steps is None else {"max_steps": max_steps}
        run = chosen.train_best(background=True, **changes)
        return run if front_end.notebook else front_end.watch(run)
    return chosen
