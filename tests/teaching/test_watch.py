"""The length alarm: told of early, ended where answers have collapsed, silent where short answers are right."""

from __future__ import annotations

from shadownb.engine.objectives.teaching.watch import LengthWatch


def looked(
    lengths: list[float], *, expected: int, clipped: float = 0.0
) -> tuple[LengthWatch, list[tuple[int, str]], int | None]:
    watch = LengthWatch()
    watch.expect([expected] * 4)
    told: list[tuple[int, str]] = []
    ended = None
    for step, length in enumerate(lengths, start=1):
        told += [(step, remark.code) for remark in watch.look(length, clipped, step)]
        if ended is None and watch.collapsed:
            ended = step
    return watch, told, ended


def test_answers_that_shrink_to_two_tokens_are_told_of_once_and_end_the_run() -> None:
    watch, told, ended = looked([20, 18, 9, 4, 3, 2, 2, 2], expected=20)
    assert told == [(4, "answers-short")] and ended == 6
    assert "from 20 tokens to less than a quarter of the teacher's 20" in watch.collapsed


def test_one_short_batch_is_luck() -> None:
    assert looked([20, 3, 19, 4, 18, 3, 3, 17], expected=20)[2] is None


def test_a_student_that_was_short_from_the_beginning_may_learn_to_be_longer() -> None:
    _, told, ended = looked([2, 2, 2, 2, 3, 5, 9], expected=20)
    assert told == [(1, "answers-short")] and ended is None


def test_short_answers_that_the_teacher_gives_too_are_right() -> None:
    assert looked([60, 30, 8, 2, 2, 2, 2], expected=2)[1:] == ([], None)


def test_answers_that_never_end_are_told_of() -> None:
    assert looked([12] * 5, expected=12, clipped=1.0)[1] == [(3, "answers-cut")]


def test_the_state_goes_on() -> None:
    watch = looked([20, 4, 4], expected=20)[0]
    again = LengthWatch(**watch.state_dict())
    list(again.look(4, 0.0, 4))
    assert again.collapsed and not watch.collapsed
