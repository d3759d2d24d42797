"""How long a row may be, from three numbers of the model and the training's own."""

from __future__ import annotations

import pytest

import shadownb as snb
from shadownb.engine.lengths import Lengths

PROMPT = snb.TrainConfig(method="prompt", num_virtual_tokens=20)


@pytest.mark.parametrize(
    ("lengths", "asked", "config", "longest"),
    [
        (Lengths(256, 512), None, None, 256),
        (Lengths(256, 512), 400, None, 400),
        (Lengths(256, 512), 4000, None, 512),
        (Lengths(256, None), 4000, None, 4000),  # no limit is set by the architecture
        (Lengths(512, 512), None, PROMPT, 492),  # the prompt that the training will learn
        (Lengths(512, 512, virtual_tokens=30), None, PROMPT, 482),  # one is there already: the training goes on with it
        (Lengths(512, 512, virtual_tokens=0), None, PROMPT, 512),
        (Lengths(512, 512, virtual_tokens=30), None, None, 482),
        (Lengths(512, 16), None, PROMPT, 1),  # nothing is left, which the check refuses
    ],
)
def test_the_longest_row(lengths: Lengths, asked: int | None, config: snb.TrainConfig | None, longest: int) -> None:
    assert lengths.longest_row(asked, config) == longest


def test_what_has_no_room_is_refused_with_the_figures() -> None:
    wanted = PROMPT.replace(max_length=500)
    with pytest.raises(
        snb.ShadowError, match=r"rows of 492 tokens[\s\S]*512 positions, and the learned prompt takes 20"
    ):
        Lengths(512, 512).check(wanted)
    Lengths(512, 512, virtual_tokens=0).check(wanted)
    Lengths(512, None).check(wanted)


def test_the_advice_about_rows_that_are_too_long_fits() -> None:
    plain = snb.TrainConfig()
    assert Lengths(256, 512).how_to_keep_more(plain) == ("", "Raise max_length")
    assert Lengths(512, 512).how_to_keep_more(plain) == ("The model has 512 positions.", "Shorten the rows")
    assert Lengths(512, 512).how_to_keep_more(PROMPT)[1].startswith("Use fewer num_virtual_tokens")
