"""A judge measured by people: agreement, what moves it, and means that hold although it errs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.errors import ConfigError, DataError


def data(
    *, right: float = 0.7, accuracy: float = 0.9, items: int = 400, seed: int = 1
) -> tuple[list[float], list[float]]:
    """Return (judge's scores, what people would say) of some items."""
    draw = np.random.default_rng(seed)
    truth = draw.random(items) < right
    said = np.where(draw.random(items) < accuracy, truth, ~truth)
    return [0.9 if each else 0.2 for each in said], [float(each) for each in truth]


def test_a_good_judge_narrows_what_people_alone_say() -> None:
    judge, truth = data(accuracy=0.95)
    found = snb.judging.calibrate(judge, dict(enumerate(truth[:60])))
    low, high = found.interval
    alone = found.people_interval
    assert low < np.mean(truth) < high and high - low < 0.8 * (alone[1] - alone[0])
    assert (found.people, found.items) == (60, 400) and found.agreement > 0.85 and found.kappa is not None
    assert found.kappa > 0.7 and not found.by_chance
    assert "60 of 400 items were judged by people" in str(found)


@pytest.mark.parametrize("right", [0.2, 0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_they_say(right: float) -> None:
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        truth = draw.random(300) < right
        said = np.where(draw.random(300) < 0.8, truth, ~truth)
        found = snb.judging.calibrate(said.astype(float).tolist(), dict(enumerate(truth[:40].tolist())))
        held += found.interval[0] <= right <= found.interval[1]
    assert 0.92 <= held / 400 <= 0.995  # four standard errors around 0.96


def test_a_judge_that_knows_nothing_is_called_that_and_moves_nothing() -> None:
    judge, truth = data(accuracy=0.5)
    found = snb.judging.calibrate(judge, dict(enumerate(truth[:60])))
    assert found.by_chance and "no better than chance" in str(found)
    assert abs(found.mean - np.mean(truth[:60])) < 0.1
    one_sided = snb.judging.calibrate([1.0] * 100, dict(enumerate([1, 0] * 10)))
    assert one_sided.by_chance and one_sided.mean == pytest.approx(0.5) and one_sided.judge_mean == 1.0
    assert one_sided.kappa == 0


def test_grades_are_corrected_by_people() -> None:
    draw = np.random.default_rng(3)
    truth = draw.beta(2, 3, 400)
    judge = np.clip(truth + 0.2 + draw.normal(0, 0.05, 400), 0, 1)
    found = snb.judging.calibrate(judge.tolist(), dict(enumerate(truth[:30].tolist())))
    low, high = found.interval
    assert low < truth.mean() < high < found.judge_mean, "the judge gives a fifth too much, and people say so"
    assert high - low < 0.6 * (found.people_interval[1] - found.people_interval[0])


def test_a_judge_that_likes_long_answers_is_found_out() -> None:
    draw = np.random.default_rng(5)
    lengths = draw.integers(5, 200, 100)
    people = (draw.random(100) < 0.5).astype(float)
    judge = np.clip(0.2 + lengths / 250, 0, 1)
    found = snb.judging.calibrate(judge.tolist(), people.tolist(), lengths=lengths.tolist())
    assert found.length is not None and found.length > 0.3 and "favours long answers" in str(found)
    fair = snb.judging.calibrate(people.tolist(), people.tolist(), lengths=lengths.tolist())
    assert fair.length is None


def test_it_says_how_many_more_clicks_are_needed() -> None:
    judge, truth = data(accuracy=0.85, items=3000)
    found = snb.judging.calibrate(judge, dict(enumerate(truth[:40])))
    more = found.more_clicks(found.width / 2)
    assert more is not None and 60 < more < 260
    again = snb.judging.calibrate(judge, dict(enumerate(truth[: 40 + more])))
    assert again.width == pytest.approx(found.width / 2, rel=0.3)
    assert found.more_clicks(0.9) == 0 and found.more_clicks(0.0001) is None
    with pytest.raises(ConfigError, match="width=2"):
        found.more_clicks(2)


def test_items_without_a_score_are_left_out() -> None:
    judge: list[float | None] = [None, *([0.9, 0.1] * 10)]
    found = snb.judging.calibrate(judge, {at: at % 2 for at in range(len(judge))})
    assert (found.people, found.items) == (20, 20)


@pytest.mark.parametrize(
    ("people", "options", "words"),
    [
        ({0: 1}, {}, "judged 1 of 20"),
        ({99: 1}, {}, "item 99"),
        (dict.fromkeys(range(9), 7), {}, "says 7 of item 0"),
        (dict.fromkeys(range(9), "yes"), {}, "'yes'"),
        ([1.0] * 20, {"lengths": [1]}, "lengths= has 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(people: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((DataError, ConfigError), match=words):
        snb.judging.calibrate([0.9, 0.1] * 10, people, **options)


def test_wrong_answers_that_are_longer_are_no_liking_for_length() -> None:
    right = [n % 2 == 0 for n in range(40)]
    lengths = [20 + n % 7 if each else 60 + n % 5 for n, each in enumerate(right)]
    compressed = [0.8 if each else 0.2 for each in right]
    assert snb.judging.calibrate(compressed, right, lengths=lengths).length is None
    noisy = [score + 0.01 * ((7 * n) % 11) for n, score in enumerate(compressed)]
    found = snb.judging.calibrate(noisy, right, lengths=lengths)
    assert "No bias by length was seen" in str(found), str(found)
    longer = [score + (length % 20) / 100 for score, length in zip(compressed, lengths, strict=True)]
    assert "favours long answers" in str(snb.judging.calibrate(longer, right, lengths=lengths))
