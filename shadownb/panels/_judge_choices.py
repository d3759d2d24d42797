"""What the Judge panel can have judged, and by whom: choices with an id each, and what they mean.

What is judged: ``given``, ``var:NAME`` (trajectories, groups, rows, an evaluation), ``capture:ID``, ``evaluation:NAME``,
``sample:NAME``. Who judges: a choice of the Evaluate panel, or ``judge:NAME`` and ``judge:`` for a :class:`Judge` of the notebook
or the given one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.errors import ConfigError, DataError

from . import _choices, _contestants
from ._stores import capture_choices

_KEPT = 30  # evaluations that are listed, the newest
GIVEN, OWN = "given", "judge:"


def sources(namespace: Mapping[str, Any], given: Any = None) -> list[dict[str, str]]:
    """Return what can be judged."""
    from shadownb.engine.evals import evaluations

    found = []
    if given is not None and _choices.name_of(given, namespace) is None:
        found.append(_choice(GIVEN, _title(given), "Given to this panel"))
    for name, value in _choices.variables(namespace):
        if kind := _kind_of(value):
            found.append(_choice(f"var:{name}", f"{name} ({kind})", "Notebook variables"))
    found += [_choice(f"capture:{each['id']}", each["title"], "Captures") for each in capture_choices()]
    found += [_choice(f"evaluation:{name}", name, "Evaluations") for name in evaluations.list()[:_KEPT]]
    return found


def judges(namespace: Mapping[str, Any], given: Any = None, others: Sequence[Any] = ()) -> list[dict[str, str]]:
    """Return who can judge: judges, then whoever answers; ``given`` and ``others`` are what the panel was given."""
    found = [] if given is None else [_choice(OWN, _judge_title(given), "Given to this panel")]
    for name, value in _choices.variables(namespace):
        if is_judge(value):
            found.append(_choice(f"{OWN}{name}", f"{name} ({_judge_title(value)})", "Judges"))
    return [*found, *_contestants.choices(namespace, others)]


def open_source(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any:
    """Return what is to be judged; of a capture its store. Raises :class:`DataError` where it is gone."""
    from shadownb.engine.capture import CaptureStore
    from shadownb.engine.evals import evaluations

    kind, _, rest = choice.partition(":")
    if choice == GIVEN:
        return given
    if kind == "var":
        if rest not in namespace:
            raise DataError(f"The notebook has no variable {rest!r} any more.", fix="Choose what is judged again.")
        return namespace[rest]
    if kind == "capture":
        return CaptureStore.open(rest)
    if kind == "evaluation":
        return evaluations.open(rest)
    raise DataError("Nothing to judge is chosen.", fix="Choose a capture, rows, groups or an evaluation.")


def open_judge(
    choice: str,
    rubric: str | None,
    options: Mapping[str, Any],
    namespace: Mapping[str, Any],
    given: Any,
    contestants: _contestants.Contestants,
) -> Any:
    """Return the judge; may load a model. One of the notebook judges with its own options."""
    from shadownb.engine.judging import Judge

    if not choice:
        raise ConfigError("No judge is chosen.", fix='Choose a model, or run model = snb.load("...") in a cell.')
    if choice.startswith(OWN):
        name = choice.removeprefix(OWN)
        found = given if not name else namespace.get(name)
        if not is_judge(found):
            raise DataError(f"The notebook has no judge {name!r} any more.", fix="Choose another one.")
        return found
    contender = contestants.open({"judge": choice}, namespace)["judge"]
    if contender.system is not None:
        raise ConfigError(
            f"{contender.name} has a system prompt of its own.", fix="Choose the model, and edit the rubric."
        )
    return Judge(contender.model, rubric, use=contender.use, **options)


def _kind_of(value: Any) -> str | None:
    """Return what a variable holds that can be judged, in a word or two."""
    kind = type(value).__name__
    if kind in ("Evaluation", "TrajectoryGroup", "JudgedGroups") and type(value).__module__.startswith("shadownb."):
        return {"Evaluation": "evaluation", "TrajectoryGroup": "group", "JudgedGroups": "judged groups"}[kind]
    if isinstance(value, list) and value and _is_episode(value[0]):
        return f"{len(value):,} {'groups' if type(value[0]).__name__ == 'TrajectoryGroup' else 'trajectories'}"
    rows = _choices.kind_of(value)
    return f"{len(value):,} rows" if rows is not None else None


def _is_episode(value: Any) -> bool:
    return type(value).__name__ in ("Trajectory", "TrajectoryGroup") and type(value).__module__.startswith("shadownb.")


def is_judge(value: Any) -> bool:
    """Whether something is a :class:`Judge`; imports nothing to find out."""
    return type(value).__name__ == "Judge" and type(value).__module__.startswith("shadownb.")


def _judge_title(judge: Any) -> str:
    return f"Judge, {getattr(judge.model, 'name', type(judge.model).__name__)}"


def _title(value: Any) -> str:
    return _kind_of(value) or str(getattr(value, "id", type(value).__name__))


def _choice(identity: str, title: str, group: str) -> dict[str, str]:
    return {"id": identity, "title": title, "group": group}
