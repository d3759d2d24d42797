"""Who can be chosen in the Evaluate panel: loaded models, results of runs, checkpoints, endpoints, and models that can be loaded.

Ids are ``var:NAME/base``, ``var:NAME/tuned``, ``var:NAME`` (an endpoint, a Contender), ``run:ID``, ``checkpoint:ID/STEP``,
``alias:NAME``, ``given:NUMBER`` (what the panel was given), and ``load:NAME/base`` or ``/tuned`` of an evaluation that goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.errors import DataError, ModelError

from . import _choices
from ._answers import can_compare, loadable_name
from ._stores import loaded_models

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.contenders import Contender

_RUNS = 12  # the newest whose results and checkpoints are listed
_CHECKPOINTS = 6  # of a run, the newest
_ENDED = ("succeeded", "stopped", "interrupted", "failed")


def choices(namespace: Mapping[str, Any], given: Sequence[Contender] = ()) -> list[dict[str, str]]:
    """Return who can be chosen, with a group each."""
    found = [_choice(f"given:{at}", each.name, "Given to this panel") for at, each in enumerate(given)]
    for name, value in _choices.variables(namespace):
        if _is_loaded(name, value, namespace):
            for use in ("base", "tuned") if can_compare(value) else ("base",):
                found.append(_choice(f"var:{name}/{use}", f"{name}, {use} ({value.name})", "Loaded models"))
        elif _is_contender(value):
            kind = "endpoint" if getattr(value, "base_url", None) is not None else type(value).__name__
            found.append(_choice(f"var:{name}", f"{name} ({kind})", "Endpoints and others"))
    return [*found, *_of_runs(), *_loadable()]


def _choice(identity: str, title: str, group: str) -> dict[str, str]:
    return {"id": identity, "title": title, "group": group}


def _is_loaded(name: str, value: Any, namespace: Mapping[str, Any]) -> bool:
    return f"var:{name}" in loaded_models({name: value}) and value.is_loaded


def _is_contender(value: Any) -> bool:
    if isinstance(value, type):
        return False
    try:
        if type(value).__name__ == "Contender" and hasattr(value, "identity"):
            return True
        return getattr(value, "has_base", True) is False and callable(getattr(value, "chat", None))
    except Exception:  # an object of a user's own kind may do anything when it is asked for an attribute
        return False


def _of_runs() -> list[dict[str, str]]:
    from shadownb.engine import runs

    results, earlier = [], []
    for run in runs.list()[:_RUNS]:
        try:
            status, result, kept = run.status, run.result(), run.checkpoints()
            title = f"{run.id} ({run.config.method} on {run.base_model})"
        except Exception:  # a folder that cannot be read is no choice here; the list of runs says what is wrong with it
            continue
        if status not in _ENDED:
            continue
        if result is not None:
            results.append(_choice(f"run:{run.id}", title, "Results of runs"))
        for each in [each for each in kept if result is None or each.step != result.step][-_CHECKPOINTS:]:
            earlier.append(_choice(f"checkpoint:{run.id}/{each.step}", f"step {each.step} of {run.id}", "Checkpoints"))
    return [*results, *earlier]


def _loadable() -> list[dict[str, str]]:
    from shadownb.engine.models.catalog import catalog

    return [
        _choice(f"alias:{entry.name}", f"{entry.name} (is loaded first)", "Not loaded")
        for entry in catalog()
        if entry.cached
    ]


class Contestants:
    """Makes contenders of choices; models that it has to load are loaded once and kept.

    Parameters
    ----------
    given
        What the panel was given.
    """

    def __init__(self, given: Sequence[Contender] = ()) -> None:
        self.given = given
        self._loaded: dict[str, Any] = {}

    def open(self, chosen: Mapping[str, str], namespace: Mapping[str, Any]) -> dict[str, Contender]:
        """Return those of choices by name; may load models.

        Raises
        ------
        ShadowError
            A variable is gone, or a model cannot be loaded.
        """
        return {name: self._one(choice, namespace) for name, choice in chosen.items()}

    def _one(self, choice: str, namespace: Mapping[str, Any]) -> Contender:
        from shadownb.engine.evals.evaluation.contenders import Contender

        kind, _, rest = choice.partition(":")
        if kind == "given":
            if int(rest) >= len(self.given):
                raise DataError("What this panel was given is gone.", fix="Make the panel again with the same models.")
            return self.given[int(rest)]
        if kind == "var":
            name, _, use = rest.partition("/")
            if name not in namespace:
                raise DataError(
                    f"The notebook has no variable {name!r} any more.",
                    fix="Load the model into it again, or choose another.",
                )
            value = namespace[name]
            if isinstance(value, Contender):
                return value
            return Contender(value, use or None)
        if kind == "alias":
            return Contender(self._load(rest), "base")
        if kind == "load":
            name, _, use = rest.rpartition("/")
            return Contender(self._load(name), use)
        return self._of_run(*rest.partition("/")[::2], namespace)

    def _of_run(self, run_id: str, step: str, namespace: Mapping[str, Any]) -> Contender:
        from shadownb.engine import runs
        from shadownb.engine.evals.evaluation.contenders import Contender
        from shadownb.engine.models.adapters import weights_asked

        run = runs.load(run_id)
        use = run.checkpoint_at(int(step)) if step else run
        base = run.folder.spec["model"].get("base_hash")
        at_hand = [model for _, model in loaded_models(namespace).values() if model.is_loaded]
        model = next((each for each in (*at_hand, *self._loaded.values()) if each.base_hash == base), None)
        if model is None:
            model = self._load(run.id)
        try:
            weights_asked(use, model)
        except ModelError:  # whole weights cannot answer beside others
            if step:
                raise
            return Contender(self._load(run.id), "tuned")
        return Contender(model, use)

    def _load(self, name: str) -> Any:
        from shadownb.engine.models import load

        if name not in self._loaded or not self._loaded[name].is_loaded:
            self._loaded[name] = load(name)
        return self._loaded[name]


def names(chosen: Sequence[str], given: Sequence[Contender] = ()) -> list[str]:
    """Return what those chosen are called in tables: as short as tells them apart, the same in every kernel."""
    short, long = [], []
    for choice in chosen:
        kind, _, rest = choice.partition(":")
        name, _, part = rest.partition("/")
        if kind == "given":
            known = given[int(rest)].name if int(rest) < len(given) else f"given {rest}"
            short.append(known)
            long.append(f"{known} (given)")
        else:
            short.append(f"step {part}" if kind == "checkpoint" else part or name)
            long.append(f"{name} step {part}" if kind == "checkpoint" else f"{name} {part}".strip())
    return [one if short.count(one) == 1 else other for one, other in zip(short, long, strict=True)]


def again(chosen: Sequence[str], namespace: Mapping[str, Any]) -> list[str]:
    """Return choices that mean the same in another kernel: a variable's model by its run, or by the name it is loaded by."""
    found = []
    for choice in chosen:
        kind, _, rest = choice.partition(":")
        name, _, use = rest.partition("/")
        value = namespace.get(name) if kind == "var" else None
        if value is None or not use:
            found.append(choice)
        else:
            found.append(f"load:{loadable_name(value, trained=use == 'tuned')}/{use}")
    return found
