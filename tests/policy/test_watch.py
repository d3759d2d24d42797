"""Whether a run can learn is said at its start; one that has collapsed is ended, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shadownb.engine.objectives.policy.options import PolicyOptions
from shadownb.engine.objectives.policy.watch import BatchFacts, PolicyWatch
from shadownb.engine.runs import Run

Train = Callable[..., Run]
OWN = PolicyOptions()
LEARNS = BatchFacts([[0.1, 0.9], [0.2, 0.3], [0.0, 1.0], [0.4, 0.5]], 0, entropy=1.2, length=40.0)


def codes(*batches: BatchFacts, own: PolicyOptions = OWN) -> tuple[list[str], str]:
    watch = PolicyWatch()
    told = [remark.code for batch in batches for remark in watch.look(batch, own)]
    assert PolicyWatch(**watch.state_dict()) == watch
    return told, watch.collapsed(own)


def batch(**changed: Any) -> BatchFacts:
    return BatchFacts(**{**vars(LEARNS), **changed})


def test_a_run_that_can_learn_hears_nothing() -> None:
    assert codes(LEARNS, LEARNS, LEARNS) == ([], "")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"entropy": 0.1}, "too-sure"),
        ({"flat": 3}, "no-spread"),
        ({"rewards": [[0.0, 0.0]] * 4, "flat": 4}, "no-reward"),
        ({"rewards": [[-1.0, -1.0]] * 4, "flat": 4}, "no-spread"),
    ],
)
def test_what_cannot_learn_is_told_once(changed: dict[str, Any], code: str) -> None:
    assert codes(*[batch(**changed)] * 4)[0] == [code]


def test_answers_that_shrink_end_a_run_unless_they_score_more_or_it_is_off() -> None:
    short = batch(length=2.0)
    assert codes(LEARNS, short, short)[1] == ""
    assert codes(LEARNS, short, short, short)[1] == "answers shrank to a tenth of 40 tokens without scoring more"
    assert codes(LEARNS, short, LEARNS, short, short)[1] == "", "three in a row"
    assert codes(LEARNS, *[batch(length=2.0, rewards=[[0.9, 1.0]] * 4)] * 3)[1] == "", "the task wants short answers"
    assert codes(LEARNS, *[short] * 3, own=PolicyOptions(stop_on_collapse=False))[1] == ""
    terse = batch(length=3.0)
    assert codes(terse, *[batch(length=2.0)] * 5)[1] == "", "they were short before"


def test_a_divergence_that_stays_ends_a_run() -> None:
    far = batch(kl=6.0)
    assert codes(far, far, batch(kl=0.1), far)[1] == ""
    assert codes(far, far, far)[1] == "the divergence from the start stayed above 5 nats a token"
    assert "0.5 nats" in codes(*[batch(kl=0.6)] * 3, own=PolicyOptions(max_kl=0.5))[1]


@pytest.mark.parametrize("beta", [0.0, 0.01])
def test_a_run_that_went_too_far_ends_with_the_reason(train: Train, beta: float) -> None:
    run = train(max_kl=1e-5, beta=beta, max_steps=9, learning_rate=2e-2)
    assert run.status == "succeeded" and run.step < 9
    assert run.state.note == "stopped early: the divergence from the start stayed above 1e-05 nats a token"
    assert run.result() is not None and run.result().step == run.step  # type: ignore[union-attr]
    if not beta:
        assert all("kl" in metrics for metrics in run.metrics), "it is looked at where the loss has none"
