"""The tools: functions with types and help, over the verbs' own look-up of names and the public API. They return JSON values."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import click
from pydantic import Field

from shadownb._verbs.front_end import DEFAULT_MODEL, FrontEnd, one_line
from shadownb.errors import ConfigError, ShadowError

P = ParamSpec("P")
_LONGEST_WAIT_S = 300.0
_SHOWN_ROWS = 20  # answers, regressions: what an agent's window has room for

Data = Annotated[str, Field(description="File (.jsonl, .json, .csv, .parquet), shipped data set, or hub id.")]
ModelName = Annotated[str, Field(description="Alias such as smollm2-135m, hub id, folder, or the id of a run.")]
RunId = Annotated[str, Field(description="Id of a run, as shadownb_train returned it; its beginning is enough.")]
Options = Annotated[
    dict[str, Any] | None,
    Field(description='Training options by name, such as {"max_steps": 40, "learning_rate": 2e-4}.'),
]
EvalData = Annotated[
    str | None,
    Field(description="Rows to evaluate on: as data, or auto (a tenth of the rows), or a share such as 15%."),
]

_one_at_a_time = threading.RLock()  # models in memory: tools may be called from several threads
_loaded: dict[str, Any] = {}


class AgentFrontEnd(FrontEnd):
    """An agent: it has no variables, and answers are returned."""

    prog = "shadownb"

    def note(self, text: str) -> None:
        """Say nothing: standard output is the protocol's."""


def tool(function: Callable[P, dict[str, Any]]) -> Callable[P, dict[str, Any]]:
    """Make a function a tool: mistakes become errors with the next step in them, and no line of progress is drawn."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        from shadownb.engine import live

        try:
            with live.quiet():
                return function(*args, **kwargs)
        except click.ClickException as error:
            raise ConfigError(one_line(error)) from None

    return called


@tool
def shadownb_data_report(data: Data, columns: dict[str, str] | None = None) -> dict[str, Any]:
    """Check every row of a data set: how many can be used, as which format, and why others cannot. Trains nothing.

    columns maps columns of the rows to known ones, such as {"frage": "prompt", "antwort": "completion"}.
    """
    found = _data(data, columns)
    report = found.report
    first = found.canonical_row(0) if report.valid and not report.bad else None
    return {"name": found.name, "summary": report.summary(), "ok": report.ok, **report.to_dict(), "first_row": first}


@tool
def shadownb_preflight(
    data: Data,
    model: ModelName = DEFAULT_MODEL,
    method: str = "lora",
    options: Options = None,
    eval_data: EvalData = "auto",
) -> dict[str, Any]:
    """Say whether a training would start, and what it needs: options, rows, method, template, memory, time. Trains nothing."""
    from shadownb.engine import capabilities
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.estimate import as_dict, estimate
    from shadownb.engine.models import certify

    problems: list[str] = []
    warnings: list[str] = []
    rows = _data(data, None)
    config = None
    try:
        config = TrainConfig(method=method, **(options or {}))
        capabilities.check(config)
    except ShadowError as error:
        problems.append(error.as_text())
    if not rows.report.ok:
        warnings.append(rows.report.summary())
    result: dict[str, Any] = {"data": rows.report.summary()}
    with _one_at_a_time:
        loaded = _model(model)
        result["template"] = certify(loaded).summary
        blocked = loaded.blocked(method, rows.format) if config is not None else None
        if blocked:
            problems.append(f"method={method!r}: {blocked}")
        if config is not None and not blocked:
            try:
                train, held_out = _split(rows, eval_data, config.seed)
                found = estimate(loaded, config, train, from_base=True)
                result["estimate"] = {
                    **as_dict(found),
                    "seconds": found.seconds,
                    "fits": found.fits,
                    "reason": found.reason,
                }
                result["steps"] = config.resolved_total_steps(found.items or len(train))
                result["rows"] = {"train": len(train), "evaluation": 0 if held_out is None else len(held_out)}
                warnings += found.template
                if not found.fits:
                    warnings.append(found.reason)
            except ShadowError as error:
                problems.append(error.as_text())
    return {"ok": not problems, "problems": problems, "warnings": warnings, **result}


@tool
def shadownb_train(
    data: Data,
    model: ModelName = DEFAULT_MODEL,
    method: str = "lora",
    options: Options = None,
    eval_data: EvalData = "auto",
    start: Annotated[str, Field(description="base, or a run or adapter to go on from.")] = "base",
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Start a training in a process of its own and return its run at once; shadownb_status follows it."""
    front_end, chosen = AgentFrontEnd(), dict(options or {})
    chosen.setdefault("executor", "process")
    with _one_at_a_time:
        loaded = _model(model)
        run = loaded.train(
            _data(data, None),
            method=method,
            eval_dataset=front_end.eval_data(eval_data) if eval_data is not None else None,
            start=start,
            background=True,
            **chosen,
        )
        if not run.shares_memory:
            _forget()  # the worker loads its own; two would be one too many
    if tags:
        run.mark(tags=tags)
    return _state(run)


@tool
def shadownb_status(
    run: RunId | None = None,
    wait_s: Annotated[
        float, Field(ge=0, le=_LONGEST_WAIT_S, description="Seconds to wait for the end, if it is active.")
    ] = 0,
) -> dict[str, Any]:
    """Say how far a run is, or how it ended: status, step, losses, time left, error, warnings. Without run, the newest."""
    found = AgentFrontEnd().run(run)
    end = time.monotonic() + wait_s
    while found.is_active and time.monotonic() < end:
        time.sleep(0.1)
    return _state(found)


@tool
def shadownb_runs(
    query: Annotated[str, Field(description="Such as: method:lora eval_loss<0.5 tag:baseline; empty for all.")] = "",
    sort: str = "created_at",
    descending: bool = True,
    limit: int = 20,
) -> dict[str, Any]:
    """List recorded runs, or those that a query finds."""
    from shadownb.engine import runs

    found = runs.search(query, sort=sort, descending=descending)
    keys = ("id", "status", "method", "model", "step", "total_steps", "loss", "eval_loss", "elapsed_s", "started_from")
    listed = [{key: row.get(key) for key in keys} for row in (run.to_dict() for run in found[:limit])]
    return {"found": len(found), "runs": listed, "queue": runs.queue().to_dicts()}


@tool
def shadownb_stop(run: RunId, discard: bool = False) -> dict[str, Any]:
    """Stop a run, or take it out of the queue; what it has learned is kept unless discard is true."""
    found = AgentFrontEnd().run(run)
    (found.discard() if discard else found.stop()).wait(timeout=60)
    return _state(found)


@tool
def shadownb_ask(model: ModelName, prompt: str, max_new_tokens: int = 256, base: bool = False) -> dict[str, Any]:
    """Ask a model, or what a run has trained, one question; greedy, so it can be repeated. base asks it as before training."""
    with _one_at_a_time:
        loaded = _model(model)
        use: Any = "base" if base else "tuned"
        answer = loaded.generate(prompt, temperature=0, max_new_tokens=max_new_tokens, use=use)
        return {"answer": answer, "answered_by": "the base" if base else loaded.answering}


@tool
def shadownb_compare(
    run: ModelName,
    data: Data,
    scorer: Annotated[str, Field(description="exact, json_exact, contains, numeric, ... as registered.")] = "exact",
    max_rows: int | None = None,
    max_new_tokens: int | None = None,
) -> dict[str, Any]:
    """Answer held-out rows with base and tuned weights, score both, and say how sure the difference is."""
    from shadownb.engine.evals import compare

    options: dict[str, Any] = {"max_rows": max_rows, "max_new_tokens": max_new_tokens}
    with _one_at_a_time:
        found = compare(_model(run), _data(data, None), scorer, **{k: v for k, v in options.items() if v is not None})
    worse = [
        {"prompt": row.prompt, "expected": row.expected, "base": row.base, "tuned": row.tuned}
        for row in found.regressions()[:_SHOWN_ROWS]
    ]
    return {
        **found.to_dict(),
        "difference": found.difference,
        "interval": list(found.interval),
        "shown": found.interval[0] > 0 or found.interval[1] < 0,
        "regressions": worse,
        "text": str(found),
    }


@tool
def shadownb_evaluate(
    model: ModelName,
    suites: Annotated[list[str] | None, Field(description="Such as humaneval, gsm8k, sql, text.")] = None,
    data: Data | None = None,
    scorer: str = "exact",
    limit: Annotated[
        int | None, Field(description="Only so many items of each suite, drawn with a fixed seed.")
    ] = None,
    max_new_tokens: int | None = None,
    require: Annotated[list[str] | None, Field(description='Conditions, such as "gsm8k >= base - 2 points".')] = None,
) -> dict[str, Any]:
    """Ask base and tuned weights the items of suites, or rows of yours, and return the report with intervals."""
    from shadownb.engine.evals import suites as known
    from shadownb.engine.evals.evaluation import evaluate

    asked: list[Any] = list(suites or [])
    if data is not None:
        asked.append(known.rows(_data(data, None), scorer))
    if not asked:
        raise ConfigError("No suite was named.", fix=f"Name one of {', '.join(known.available())}, or give data.")
    options = {key: value for key, value in (("limit", limit), ("max_new_tokens", max_new_tokens)) if value is not None}
    with _one_at_a_time:
        found = evaluate(_model(model), asked, **options)
    gates = [str(gate) for gate in found.require(*require)] if require else []
    return {
        "name": found.name,
        "report": found.to_markdown(),
        "findings": found.findings(),
        "problems": found.problems(),
        "gates": gates,
    }


@tool
def shadownb_export(
    run: ModelName,
    folder: Annotated[str, Field(description="Folder to write; what an earlier export left there is replaced.")],
    format: Annotated[str, Field(description="adapter, merged, gguf, ... as registered.")] = "adapter",
    options: Annotated[
        dict[str, Any] | None, Field(description='Of the format, such as {"quant": "q8_0"} of gguf.')
    ] = None,
    data: Annotated[str | None, Field(description="Held-out rows to measure the file on.")] = None,
) -> dict[str, Any]:
    """Write what a run has trained, for this or another engine, load the file and measure it."""
    with _one_at_a_time:
        rows = None if data is None else _data(data, None)
        found = _model(run).export(Path(folder).expanduser(), format, dataset=rows, **(options or {}))
    return {"path": str(found.path.resolve()), "bytes": found.size, **found.to_dict()}


# -- shared ------------------------------------------------------------------------------------------------------------


def _data(name: str, columns: dict[str, str] | None) -> Any:
    return AgentFrontEnd().data(name, **({"columns": columns} if columns else {}))


def _split(rows: Any, eval_data: str | None, seed: int) -> Any:
    from shadownb.engine.runs.data_arguments import resolve_data

    given = None if eval_data is None else AgentFrontEnd().eval_data(eval_data)
    return resolve_data(rows, given, seed)


def _model(name: str) -> Any:
    """Return a loaded model; the last one is kept, since an agent asks the same one several times."""
    if name not in _loaded:
        _forget()
        _loaded[name] = AgentFrontEnd().model(name)
    return _loaded[name]


def _forget() -> None:
    for model in _loaded.values():
        if model.active_run is None or not model.active_run.shares_memory:
            model.unload()
    _loaded.clear()


def _state(run: Any) -> dict[str, Any]:
    state, error = run.state, run.error
    return {
        "run": run.id,
        "status": state.status,
        "active": run.is_active,
        "step": state.step,
        "total_steps": state.total_steps,
        "loss": run.loss,
        "eval_loss": run.eval_loss,
        "eta_s": state.eta_s,
        "elapsed_s": state.elapsed_s,
        "phase": state.phase,
        "folder": str(run.path),
        "started_from": run.started_from,
        "trains": run.reach,
        "warnings": [warning["what"] for warning in state.warnings],
        "error": None if error is None else error.to_dict(),
    }
