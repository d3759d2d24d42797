"""What the Run panel tells a page of a run, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.runs.charts import Chart

from ._snapshot import STATUS_WORDS

_PICKABLE = 50  # runs; the Runs panel has all
_SAMPLE_LENGTH = 800  # characters of a sampled prompt or answer


def as_run(run: Any) -> Any:
    """Return the handle of a run, which may be given by its id.

    Raises
    ------
    RunNotFoundError
        No run has this id; the message has the closest one.
    """
    if isinstance(run, str):
        from shadownb.engine import runs

        return runs.load(run)
    return run


def about_of(run: Any) -> dict[str, Any]:
    """Return whose run it is: id, method, model, what it started from, folder."""
    return {
        "id": run.id,
        "method": run.config.method,
        "model": str(run.folder.spec["model"]["name"]),
        "start": run.started_from,
        "path": str(run.path),
    }


def code_of(run_id: str) -> dict[str, str]:
    """Return what does the same in a cell: to watch the run, to go on with its result, to keep the panel, as a magic."""
    python = "\n".join(
        (
            "import shadownb as snb",
            f'run = snb.runs.load("{run_id}")',
            "run.figure()            # the curves, as a plotly figure",
            "# run.wait()            # block until it ends",
            "# run.stop()            # stop and save",
        )
    )
    following = "\n".join(
        (
            "import shadownb as snb",
            f'model = snb.load("{run_id}")',
            'model.generate("...")   # asked as it was trained: model.trained_on',
            'model.save("my-adapter")',
        )
    )
    keep = f'import shadownb as snb\nsnb.RunPanel("{run_id}")'
    return {"python": python, "next": following, "keep": keep, "magic": f"%shadow plot {run_id}"}


def status_of(state: Any, status: str) -> dict[str, Any]:
    """Return everything small that changes with each step."""
    return {
        "status": status,
        "phase": {k: v for k, v in state.phase.items() if v not in (None, "")},
        "step": state.step,
        "total": state.total_steps,
        "epoch": round(state.epoch, 3),
        "attempt": state.attempt,
        "elapsed": round(state.elapsed_s, 1),
        "eta": None if state.eta_s is None else round(state.eta_s, 1),
        "stopping": state.stopping,
        "last": {k: _number(state.last[k]) for k in (*state.series, "tokens") if state.last.get(k) is not None},
        "best": state.best and {"step": state.best["step"], "eval_loss": _number(state.best["eval_loss"])},
    }


def chart_of(chart: Chart) -> dict[str, Any]:
    """Return a chart beside the common ones: id, title, curves, whether its values are shares."""
    curves = [list(curve) for curve in chart.curves]
    return {"id": chart.name, "title": chart.title, "curves": curves, "share": chart.share, "first": chart.first}


def record_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a run's record that the page shows; empty before the run has written it."""
    if not record:
        return {}
    return {
        "estimate": record.get("estimate") or {},
        "trainable": record.get("trainable_parameters"),
        "decisions": record.get("decisions") or {},
        "actual_setup": record.get("actual_setup") or {},
        "versions": record.get("versions") or {},
    }


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def shortened(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the answers sampled at an evaluation, long ones cut."""
    items = [{name: short(text) for name, text in item.items() if text is not None} for item in sample["items"]]
    return {"step": sample["step"], "items": items}


def with_asked(sample: dict[str, Any], asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return sampled answers beside what their rows expect and what was answered before the first step, by prompt."""
    known = {each["prompt"]: each for each in asked}
    return {**sample, "items": [{**known.get(item["prompt"], {}), **item} for item in sample["items"]]}


def pickable(shown: str = "") -> list[dict[str, str]]:
    """Return the newest runs as a list to pick from, the one that is shown in any case."""
    from shadownb.engine.runs.store import default_store

    store = default_store()
    entries = store.entries(store.all()[:_PICKABLE])
    found = [{"id": entry.id, "title": _in_a_list(entry)} for entry in entries]
    return found if not shown or any(each["id"] == shown for each in found) else [{"id": shown, "title": shown}, *found]


def _in_a_list(entry: Any) -> str:
    about = [entry.summary.get("method"), entry.summary.get("model"), STATUS_WORDS.get(entry.status, entry.status)]
    return f"{entry.id}: {', '.join(str(each) for each in about if each)}"


def short(text: Any) -> str:
    """Return a text as it is shown, cut where it is long."""
    shown: str = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= _SAMPLE_LENGTH else shown[: _SAMPLE_LENGTH - 1] + "…"
