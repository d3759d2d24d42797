"""What can be done with a run that has ended: each step with the panel that does it, and the cell that does the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.loaded.backends import description_in
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.results import result_of
from shadownb.engine.runs.state import ACTIVE
from shadownb.errors import CheckpointError, ShadowError

from ._code import literal
from ._naming import with_import
from ._stores import loaded_models

_LONG_ANSWER = 200  # characters; nobody writes that many twice the same
_LOOKED_AT = 50
RESUMABLE = ("interrupted", "stopped", "failed")
# id -> (what the button says, what it does, the tab of Studio that does it)
ACTIONS: dict[str, tuple[str, str, str]] = {
    "chat": ("Chat", "Ask it, the base beside it.", "chat"),
    "evaluate": ("Evaluate", "Score base and tuned on the held-out rows, or on suites.", "evaluate"),
    "save": ("Save", "Write what was trained into a folder.", "export"),
    "export": ("Export", "Write it as files that llama.cpp, Ollama, vLLM and others run.", "export"),
    "serve": ("Serve", "Answer the clients of OpenAI and Anthropic on this machine.", "serve"),
    "push": ("Push to hub", "Upload an export; what would be sent is shown first.", "export"),
    "branch": ("Branch from here", "Train on from its result, with its rows and options to begin with.", "train"),
    "resume": ("Resume", "Go on with this run from its newest checkpoint.", "run"),
}


def finishes(run: Any, namespace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what can be done with a run now, in the order of the work; empty while it goes on or where nothing was saved.

    Reads no weights: whether there is a checkpoint stands in the journal.
    """
    state = run.state
    if state.status in ACTIVE or not state.checkpoints:
        return []
    found = [name for name in ACTIONS if name != "resume" or state.status in RESUMABLE]
    codes = _codes(run, namespace)
    return [
        {"id": name, "title": ACTIONS[name][0], "about": ACTIONS[name][1], "tab": ACTIONS[name][2], "code": codes[name]}
        for name in found
    ]


def model_at_hand(run: Any, namespace: Mapping[str, Any], step: int | None = None) -> tuple[str, Any]:
    """Return (choice, model) of a loaded model that carries a run's result, or ("", None)."""
    result = _result(run)
    wanted = step if step is not None else result and result.step
    for choice, (_, model) in loaded_models(namespace).items():
        if model.is_loaded and model.trained == (run.id, wanted):
            return choice, model
    return "", None


def base_at_hand(run: Any, namespace: Mapping[str, Any]) -> tuple[str, Any]:
    """Return (choice, model) of a loaded model of a run's base, whatever it carries, or ("", None)."""
    wanted = run.folder.spec["model"].get("base_hash")
    for choice, (_, model) in loaded_models(namespace).items():
        if model.is_loaded and model.base_hash == wanted:
            return choice, model
    return "", None


def _result(run: Any) -> Any:
    """Return the checkpoint that a run ended with, unverified, or None."""
    try:
        return result_of(run.folder, verified=False)
    except CheckpointError:
        return None


def keeps_base(run: Any) -> bool:
    """Whether what the run trained lies beside an unchanged base, and is saved as an adapter."""
    result = _result(run)
    return result is not None and description_in(result.path) is not None


def _codes(run: Any, namespace: Mapping[str, Any]) -> dict[str, str]:
    """Return a cell for each action. One that needs the model loads it where no variable has it."""
    choice, _ = model_at_hand(run, namespace)
    model = choice.removeprefix("var:") if choice.startswith("var:") else "model"
    begin = "import shadownb as snb\n\n"
    begin += "" if model != "model" or choice == "var:model" else f"model = snb.load({literal(run.id)})\n"
    held_out = bool(run.folder.spec.get("eval_dataset"))
    kind = "adapter" if keeps_base(run) else "merged"
    folder = literal(f"{run.id}-{kind}")
    rows = f'snb.suites.rows(snb.runs.rows({literal(run.id)}, "held_out"), "{scorer_for(run)}", name="held_out")'
    made: dict[str, Callable[[], str]] = {
        "chat": lambda: f'{model}.generate("...")  # asked as it was trained',
        "evaluate": lambda: f"evaluation = snb.evaluate({model}, {rows if held_out else literal('text')})\nevaluation",
        "save": lambda: f"{model}.save({folder}, fmt={literal(kind)})",
        "export": lambda: f'exported = {model}.export("{run.id}-q4_k_m", format="gguf", quant="q4_k_m")\nexported',
        "serve": lambda: f"server = snb.serve({model})\nprint(server.url, server.token)",
        "push": lambda: (
            f"exported = {model}.export({folder}, format={literal(kind)}, report=False)\n"
            f'print(exported.push_to_hub("me/{run.id}"))  # says what would be sent; dry_run=False sends it'
        ),
        "branch": lambda: _branch(run, model),
        "resume": lambda: f"run = snb.runs.load({literal(run.id)}).resume()\nrun",
    }
    alone = {"resume": "import shadownb as snb\n\n"}
    return {name: with_import(alone.get(name, begin) + make()) + "\n" for name, make in made.items()}


def _branch(run: Any, model: str) -> str:
    options = {"method": run.config.method, **run.config.changed}
    arguments = [f"snb.runs.rows({literal(run.id)})", 'start="trained"']
    arguments += [f"{name}={literal(value)}" for name, value in options.items()]
    return f"run = {model}.train(\n" + "".join(f"    {each},\n" for each in [*arguments, "background=True"]) + ")\nrun"


def scorer_for(run: Any) -> str:
    """Return the name of the scorer that suits a run's held-out rows."""
    reference = run.folder.spec.get("eval_dataset")
    try:
        return suited(load_rows(reference) if reference else [])
    except ShadowError:  # rows that are gone; whoever opens them says so
        return suited([])


def suited(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the scorer for rows by their answers: ``tool_call``, ``json_exact``, ``token_f1`` (of long ones), else ``exact``."""
    turns = [(row.get("messages") or row.get("chosen") or [{}])[-1] for row in rows[:_LOOKED_AT]]
    texts = [turn.get("content") or "" for turn in turns]
    for name, fitting in (
        ("tool_call", sum(bool(turn.get("tool_calls")) for turn in turns)),
        ("json_exact", sum(map(_is_json, texts))),
        ("token_f1", sum(len(text) > _LONG_ANSWER for text in texts)),
    ):
        if 2 * fitting > len(turns):
            return name
    return "exact"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
