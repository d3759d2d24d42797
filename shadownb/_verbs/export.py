"""Verbs that write trained models for others: export, quant, lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shadownb._verbs import completion
from shadownb._verbs.declare import verb
from shadownb._verbs.front_end import FrontEnd
from shadownb._verbs.lab import complete_scorer, scorer_of
from shadownb._verbs.options import Choice, RegisteredChoice, Value, given
from shadownb.engine import registry

_OPTIONS = ("quant", "dtype", "rounding", "bits", "group_size", "iters", "converter")
_PREPARED = ("awq", "gptq", "gguf")


@verb("export")
@click.argument(
    "name",
    metavar="[RUN]",
    required=False,
    shell_complete=completion.complete_model,
    help="Run id or variable, or a model variable.",
)
@click.option("--to", "folder", type=click.Path(), shell_complete=completion.complete_folder, help="Folder to write.")
@click.option(
    "--fmt",
    "--format",
    "fmt",
    type=RegisteredChoice(lambda: registry.names("exporter")),
    default="adapter",
    help="Only the adapter, base and adapter merged into one model, or a format of other engines.",
)
@click.option("--quant", help="Of gguf: q8_0 (default), f16, q4_k_m, ...")
@click.option("--dtype", type=Choice(["auto", "float32", "bfloat16", "float16"]), help="Of merged: its number format.")
@click.option("--rounding", type=Choice(["seeded", "nearest"]), help="Of merged in 16 bits (default: seeded).")
@click.option("--bits", type=Value("int"), help="Of awq, gptq and mlx.")
@click.option("--group-size", type=Value("int"), help="Of awq and gptq: how many numbers share a scale.")
@click.option("--iters", type=Value("int"), help="Of awq and gptq: steps in which rounding is tuned (default 0).")
@click.option("--converter", type=Choice(["auto", "own", "official"]), help="Of gguf: who writes it.")
@click.option(
    "--importance", shell_complete=completion.complete_data, help="Of gguf: rows by which errors are weighed."
)
@click.option("--calibration", shell_complete=completion.complete_data, help="Of awq and gptq: rows to round by.")
@click.option("--compare", help="Other formats to measure beside it, such as q8_0,q5_k_m.")
@click.option("--data", "data_name", shell_complete=completion.complete_data, help="Held-out rows to measure on.")
@click.option("--scorer", shell_complete=complete_scorer, help="Scores the answers on these rows, too.")
@click.option("--report/--no-report", default=None, help="Load the file and measure it (default for all but adapter).")
@click.option(
    "--prepare", type=Choice(_PREPARED), help="Only fetch the packages that a format needs, for later offline."
)
def export(
    front_end: FrontEnd,
    name: str | None,
    folder: str | None,
    fmt: str,
    importance: str | None,
    calibration: str | None,
    compare: str | None,
    data_name: str | None,
    scorer: str | None,
    report: bool | None,
    prepare: str | None,
    **_: Any,
) -> Any:
    """Write what a run has trained, for this or another engine, and measure the file.

    Example: PROG export last --to triage --fmt gguf --quant q4_k_m --compare q8_0,q5_k_m
    """
    if prepare is not None:
        from shadownb.engine.exporters import environments

        return environments.prepare(prepare)
    if name is None or folder is None:
        front_end.refuse(f"Missing {'argument RUN' if name is None else 'option --to'}")
    options: dict[str, Any] = given(_OPTIONS)
    for key, rows in (("importance", importance), ("calibration", calibration)):
        if rows is not None:
            options[key] = front_end.data(rows)
    if fmt in ("adapter", "merged", "mlx") and not (options or compare or data_name or scorer or report):
        front_end.model(name).save(folder, fmt=fmt)
        return Path(folder)
    return front_end.model(name).export(
        folder,
        fmt,
        compare=[each.strip() for each in (compare or "").split(",") if each.strip()],
        dataset=None if data_name is None else front_end.data(data_name),
        scorer=None if scorer is None else scorer_of(front_end, scorer),
        report=report is not False,
        **options,
    )


@verb("quant")
@click.argument(
    "fmt", metavar="FORMAT", type=Choice(["gguf", "llamacpp", "awq", "gptq", "mlx"]), help="gguf, awq, gptq or mlx."
)
@click.option(
    "--model-path", "--model", "name", required=True, shell_complete=completion.complete_model, help="What to quantise."
)
@click.option(
    "--to", "--gguf-dir", "--output-dir", "folder", type=click.Path(), shell_complete=completion.complete_folder,
    help="Folder to write (default: beside the model, with the format in its name).",
)  # fmt: skip
@click.option("--quant", "--llamacpp-quant-type", "quant", help="Of gguf: q8_0, q4_k_m, q5_k_m, ...")
@click.option("--bits", "--q-bits", "bits", type=Value("int"), help="Of awq, gptq and mlx (default 4).")
@click.option("--group-size", "--q-group-size", "group_size", type=Value("int"), help="Of awq and gptq.")
@click.option("--calibration", shell_complete=completion.complete_data, help="Of awq and gptq: rows to round by.")
@click.option("--data", "data_name", shell_complete=completion.complete_data, help="Rows to measure on.")
def quant(
    front_end: FrontEnd,
    fmt: str,
    name: str,
    folder: str | None,
    calibration: str | None,
    data_name: str | None,
    **_: Any,
) -> Any:
    """Quantise a model, a run's result or a folder, and measure what came out.

    Example: PROG quant gguf --model-path smollm2-135m --quant q4_k_m --to small
    """
    kind = "gguf" if fmt == "llamacpp" else fmt
    options: dict[str, Any] = given(("quant", "bits", "group_size"))
    if kind == "mlx":
        options.setdefault("bits", 4)
    if calibration is not None:
        options["calibration"] = front_end.data(calibration)
    target = folder or f"{Path(name).name}-{options.get('quant') or kind}"
    rows = None if data_name is None else front_end.data(data_name)
    return front_end.model(name).export(target, kind, dataset=rows, **options)


@verb("lineage")
@click.argument(
    "name",
    metavar="[RUN]",
    required=False,
    shell_complete=completion.complete_model,
    help="Run id, or folder of an export.",
)
@click.option("--where", help="Instead: a person's name, address or number; which calls, rows, runs and files hold it.")
def lineage(front_end: FrontEnd, name: str | None, where: str | None) -> Any:
    """Say which rows and recorded calls a run or an export was trained on, and what learned from a person's.

    Example: PROG lineage triage-gguf
    """
    from shadownb.engine.exports.lineage import lineage as found

    if (name is None) == (where is None):
        front_end.refuse("lineage needs a run or a folder, or --where")
    return found(name, where=where) if where is None else found(where=where)
