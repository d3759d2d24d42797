"""The ``train`` verb: options, YAML and names become one ``Model.train`` call.

Flags win over YAML (the cell's body, then the file of ``--config``), YAML over defaults. The whole configuration is
validated before a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd, one_line
from shadownb._verbs.options import (
    DATA_OPTIONS,
    MODEL_OPTIONS,
    TrainingVerb,
    data_options,
    given,
    model_options,
    reading_of,
)
from shadownb.engine import functions, methods, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_objectives import option_names
from shadownb.errors import ShadowError, did_you_mean

RUN_KEYS = ("model", "dataset", "eval_dataset", "start", "background")


@verb("train", TrainingVerb)
@click.argument(
    "words",
    metavar="[MODEL] [DATA]",
    nargs=-1,
    shell_complete=completion.complete_model_or_data,
    help="Variables or names; with one word it is the data. Without any, a notebook shows the panel.",
)
@click.option(
    "--model",
    shell_complete=completion.complete_model,
    help="Variable, alias, hub id, folder, GGUF file or run id.",
)
@click.option(
    "--dataset",
    shell_complete=completion.complete_data,
    help="Variable, shipped data set or file.",
)
@click.option(
    "--eval-dataset",
    shell_complete=completion.complete_eval_data,
    help="As --dataset, or auto, or a share such as 0.1 or 15%.",
)
@data_options
@click.option(
    "--start",
    shell_complete=completion.complete_start,
    help="base: the fresh base; trained: the model as it is; a run or an adapter folder: that result "
    "(default: trained, with a warning where an earlier run has trained the loaded model).",
)
@click.option(
    "--background/--no-background",
    default=None,
    help="Return at once (a notebook's default), or wait for the end.",
)
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    shell_complete=completion.complete_yaml_file,
    help="YAML file with the same names as the options.",
)
@model_options
def train(front_end: FrontEnd, words: tuple[str, ...], file: str | None, **_: Any) -> Any:
    """Fine-tune a model on data.

    Example: PROG train smollm2-135m support-triage --method lora --max-steps 40
    """
    values = read_yaml(Path(file).read_text(encoding="utf-8"), front_end) if file else {}
    values |= read_yaml(front_end.body, front_end) if front_end.body else {}
    values |= given([*RUN_KEYS, *DATA_OPTIONS, *MODEL_OPTIONS, *option_names()])
    _add_words(values, words, front_end)

    if front_end.notebook and not values.get("dataset") and values.keys() <= {"model"}:
        name = values.get("model")
        return front_end.panel("train", **({"model": front_end.model(name)} if name else {}))
    if not values.get("dataset"):
        front_end.refuse(
            f"train needs data: {front_end.prog} train [MODEL] DATA, for example {front_end.prog} train support-triage"
        )

    name = values.pop("model", None) or front_end.default_model
    data_name, eval_name = values.pop("dataset"), values.pop("eval_dataset", None)
    background = values.pop("background", None)
    start = {"start": front_end.start(values.pop("start"))} if "start" in values else {}
    loading = {option: values.pop(option) for option in MODEL_OPTIONS if option in values}
    reading = reading_of(values)
    config = _validated(values, front_end)
    of_functions = () if config.spec.guest else objectives.get(config.spec.objective).functions
    stays = {"executor": _outliving(config.executor, front_end)} if background and not front_end.notebook else {}

    typed = {key: values[key] for key in of_functions if key in values}
    values = {key: getattr(config, key) for key in values} | stays  # YAML reads 1e-3 as text, the config as a number
    values |= {key: functions.meant(getattr(config, key), given, front_end.variables) for key, given in typed.items()}
    data, eval_data = front_end.data(data_name, **reading), front_end.eval_data(eval_name, **reading)
    model = front_end.model(name, **_with_quantized_base(loading, config, name, front_end))
    if front_end.notebook:
        return model.train(data, eval_dataset=eval_data, background=background, **start, **values)
    run = model.train(data, eval_dataset=eval_data, background=True, **start, **values)
    return run if background else front_end.watch(run)


def read_yaml(text: str, front_end: FrontEnd) -> dict[str, Any]:
    """Return the options of YAML text: TrainConfig fields, the run's own keys, and how the model is loaded."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        front_end.refuse(f"The configuration is not valid YAML{where}: {getattr(error, 'problem', error)}")
    if values is None:
        return {}
    if not isinstance(values, dict):
        front_end.refuse("The configuration must be 'option: value' lines, for example 'method: lora'")
    method = str(values.get("method"))
    spec = methods.get(method) if methods.known(method) else None
    known = [*RUN_KEYS, *DATA_OPTIONS, *MODEL_OPTIONS, *option_names(spec)]
    for key in values:
        if key not in known:
            front_end.refuse(f"{key!r} is not a training option.{did_you_mean(str(key), known)}")
    return values


def _add_words(values: dict[str, Any], words: tuple[str, ...], front_end: FrontEnd) -> None:
    if len(words) > 2:
        front_end.refuse(f"train takes a model and data, not {len(words)} names: {' '.join(words)}")
    if len(words) == 1:
        models = [
            *completion.variables_of(front_end.variables, "Model"),
            *completion.model_names(),
        ]
        alone = "model" if words[0] in models and "model" not in values else "dataset"
        named = {alone: words[0]}
    else:
        named = dict(zip(("model", "dataset"), words, strict=False))
    for key, word in named.items():
        if key in values:
            front_end.refuse(f"the {key} is given twice: {word} and {values[key]}")
    values |= named


def _validated(values: dict[str, Any], front_end: FrontEnd) -> TrainConfig:
    from shadownb.engine import capabilities

    try:
        config = TrainConfig(**values)
        capabilities.check(config)
        return config
    except ShadowError as error:
        front_end.refuse(one_line(error))


def _outliving(asked: str, front_end: FrontEnd) -> str:
    """Return the name of the executor for a run that goes on when this command has ended."""
    from shadownb.engine.runs import executors

    executor = executors.chosen(asked, outliving=True)
    if not executor.outlives:
        other = executors.name_of(executors.chosen(executors.AUTO, outliving=True))
        front_end.refuse(f"--background needs --executor {other} here: {executor.where} would end with this command")
    return executors.name_of(executor)


def _with_quantized_base(
    loading: dict[str, Any], config: TrainConfig, name: Any, front_end: FrontEnd
) -> dict[str, Any]:
    """Load the base of a method that needs a quantised one in 4 bits, unless the user has said how."""

    if config.spec.quantized_base and "quantize" not in loading and not front_end.has_model(name):
        front_end.note(f"{config.method} needs a quantised base: loading {name} with --quantize 4bit.")
        return {**loading, "quantize": "4bit"}
    return loading
