"""Trajectories to training rows: tools kept, and only answers trained that a model really gave.

An assistant message that stood in a prompt (an example, a history from elsewhere) is context. So is an answer that broke
off or ran into its token limit: trained, it would teach to stop there. Branches share their first answers; each recorded
answer is trained once, in the first row that holds it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.trajectories.episodes import Episodes, episodes_graph
from shadownb.engine.trajectories.group import TrajectoryGroup
from shadownb.engine.trajectories.identity import reasoning_of, role_of, visible_content
from shadownb.engine.trajectories.trajectory import Trajectory
from shadownb.errors import DataError, ShadowWarning

Row = dict[str, Any]
# What providers send with an answer beside its text, calls and reasoning: it is recorded, and no model is trained on it.
BESIDE_ANSWERS = tuple(
    f"messages[].{key}"
    for key in (
        "annotations", "audio", "citations", "context", "encrypted_content", "executed_tools", "logprobs",
        "provider_specific_fields", "reasoning_details", "signature", "thinking_blocks", "usage", "other_blocks", "other_items",
    )
)  # fmt: skip
_told: set[str] = set()


def flatten(source: Trajectory | TrajectoryGroup | Iterable[Trajectory | TrajectoryGroup]) -> Iterator[Trajectory]:
    """Yield the trajectories of trajectories and groups, in order. Raises :class:`DataError` for anything else."""
    if isinstance(source, Trajectory):
        yield source
        return
    for item in source:
        if isinstance(item, (Trajectory, TrajectoryGroup)):
            yield from flatten(item)
        else:
            raise DataError(
                f"An entry of type {type(item).__name__} is not a trajectory.",
                fix="Pass Trajectory or TrajectoryGroup.",
            )


def chat_rows(trajectories: Iterable[Trajectory | TrajectoryGroup]) -> list[Row]:
    """Return one chat row for each trajectory that has an answer to train; one for each answer where the client writes its
    history down in words of its own, so that each is trained behind the prompt that it was given.

    Warns
    -----
    ShadowWarning
        If some have none, and once where answers of a provider's model become training data.

    Raises
    ------
    DataError
        If no trajectory has an answer to train.
    """
    rows: list[Row] = []
    done: set[tuple[str, int]] = set()
    left_out = 0
    found = list(flatten(trajectories))
    for trajectory in found:
        trained = _fresh_turns(trajectory, done)
        if trained:
            rows += _rows_of(trajectory, trained)
        else:
            left_out += 1
    if not rows:
        why = f"none of their answers came whole ({_reasons(found)})" if found else "there are none"
        raise DataError(
            f"None of {len(found):,} trajectories has an answer to train: {why}.",
            fix="Record complete answers (a larger token limit, no errors), or select others.",
        )
    if left_out:
        what = f"{left_out:,} of {len(found):,} trajectories are left out: none of their answers came whole"
        warnings.warn(f"{what} ({_reasons(found)}).", ShadowWarning, stacklevel=3)
    terms_notice(found)
    return rows


def _rows_of(trajectory: Trajectory, trained: set[int]) -> list[Row]:
    rendered = {each["index"]: each["message"] for each in trajectory.metadata.get("rendered") or ()}
    if not rendered:
        return [chat_row(trajectory, trained)]
    rows = []
    for turn in sorted(trained):
        given = [rendered.get(at, message) for at, message in enumerate(trajectory.messages[:turn])]
        seen = replace(trajectory, messages=[*given, trajectory.messages[turn]])
        rows.append(chat_row(seen, {turn}))
    return rows


def _reasons(found: list[Trajectory]) -> str:
    """Return why answers are not trained, the commonest first."""
    answers = {(call.id, call.choice): call.why_not_complete for t in found for call in t.calls}
    counts = Counter(why for why in answers.values() if why)
    return ", ".join(f"{count:,} {why}" for why, count in counts.most_common(4)) or "or they have none"


def _fresh_turns(trajectory: Trajectory, done: set[tuple[str, int]]) -> set[int]:
    if not trajectory.calls:
        return set(trajectory.trainable_turns)
    fresh = [call for call in trajectory.calls if call.complete and (call.id, call.choice) not in done]
    done.update((call.id, call.choice) for call in fresh)
    return {call.message for call in fresh}


def chat_row(trajectory: Trajectory, trained: set[int] | None = None) -> Row:
    """Return ``{"messages", "tools"?}``; assistant messages that are not trained have weight 0.

    Parameters
    ----------
    trained
        The indices to train; None for ``trajectory.trainable_turns``.
    """
    wanted = set(trajectory.trainable_turns) if trained is None else trained
    messages = []
    for index, given in enumerate(trajectory.messages):
        message = _answer(given) if role_of(given) == "assistant" else dict(given)
        if role_of(given) == "assistant" and index not in wanted:
            message["weight"] = 0
        messages.append(message)
    row: Row = {"messages": messages}
    return {**row, "tools": trajectory.tools} if trajectory.tools else row


def _answer(given: Row) -> Row:
    """Return an assistant message in the one form that data sets read: reasoning beside the text, calls as tool_calls."""
    message = {key: value for key, value in given.items() if key not in ("function_call", "reasoning", "thinking")}
    reasoning = reasoning_of(given)
    if reasoning:
        message["reasoning_content"] = reasoning
    if message.get("content") is None or reasoning:
        message["content"] = visible_content(given)
    if "function_call" in given and not given.get("tool_calls"):
        message["tool_calls"] = [{"type": "function", "function": given["function_call"]}]
    return message


# -- from what was recorded --------------------------------------------------------------------------------------------


class Found(list[Trajectory]):
    """Trajectories, a list, with what became of the calls that are in none of them.

    Attributes
    ----------
    unread
        Why calls cannot be read, by their ids.
    unanswered
        The ids of the calls without an answer.
    """

    def __init__(self, episodes: Iterable[Trajectory], unread: dict[str, str], unanswered: list[str]) -> None:
        super().__init__(episodes)
        self.unread, self.unanswered = unread, unanswered
        if self.unread:
            first, why = next(iter(self.unread.items()))
            plural = "s" if len(self.unread) > 1 else ""
            what = f"{len(self.unread):,} call{plural} of this capture cannot be read and {'are' if plural else 'is'} left out"
            warnings.warn(f"{what}, for example {first}: {why}", ShadowWarning, stacklevel=4)


def _parts(
    graph: Episodes, where: Callable[[Trajectory], bool] | None
) -> tuple[Iterable[Trajectory], dict[str, str], list[str]]:
    return filter(where, graph.trajectories()), dict(graph.unread), list(graph.unanswered)


def trajectories_of(source: Any, *, where: Callable[[Trajectory], bool] | None = None, **filters: Any) -> Found:
    """Return the episodes of a capture; an empty list where it holds no answered call.

    Calls that cannot be read are left out, and are in ``unread`` of what is returned.

    Parameters
    ----------
    source
        A proxy, its store, the id or the folder of a capture, or recorded calls in any order.
    where
        Which episodes to keep; the others are read one at a time and let go.
    **filters
        Which calls of a store to read, as ``CaptureStore.calls`` takes them, for example ``session="s1"``.

    Warns
    -----
    ShadowWarning
        If calls cannot be read.

    Raises
    ------
    DataError
        If it is none of these.
    """
    if isinstance(source, (str, Path)):
        source = registry.resolve("capture_store", "sqlite").open(source)
    filters = {**getattr(source, "filters", {}), **filters}
    store = next((s for s in (source, getattr(source, "store", None)) if callable(getattr(s, "iterate", None))), None)
    if store is not None:
        # A store gives them in the order in which they ended, so that no more than a page is held at a time.
        if words := _not_recorded(source, store):
            warnings.warn(words, ShadowWarning, stacklevel=3)
        if not filters and callable(getattr(store, "trajectories", None)):
            return Found(filter(where, store.trajectories()), *store.left_out())
        return Found(*_parts(Episodes().extend(store.iterate(**filters)), where))
    if isinstance(source, Iterable) and not filters:
        return Found(*_parts(episodes_graph(source), where))
    raise DataError(
        f"A {type(source).__name__} is not a capture{' that can be filtered' if filters else ''}.",
        fix="Pass a proxy, a store, the id of a capture, or its calls.",
    )


def _not_recorded(source: Any, store: Any) -> str:
    """Return that calls of this capture could not be stored; empty where all were."""
    facts = getattr(getattr(store, "files", None), "facts", None) or {}
    count = getattr(source, "not_recorded", 0) or facts.get("not_recorded")
    return f"{count:,} calls passed through {store.id!r} and could not be stored." if count else ""


def terms_notice(trajectories: Iterable[Trajectory]) -> None:
    """Warn, once a model in a process, that a provider's terms may restrict training on its model's answers."""
    named = {call.model or "a model" for t in trajectories for call in t.calls if call.route != "local"}
    models = sorted(named - _told)
    if not models:
        return
    _told.update(models)
    shown = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    what = (
        f"Answers of {shown} become training data. Providers' terms may restrict training other models on their output; "
        "read the terms of yours before you train or share what comes of it."
    )
    warnings.warn(what, ShadowWarning, stacklevel=4)
