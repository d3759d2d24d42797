"""The libraries' progress bars stay off as long as anything of ours runs, and are as before afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import permutations

import pytest

from shadownb.engine.backends.torch.quiet import TRANSFORMERS, quiet_progress_bars
from shadownb.engine.progress_bars import DATASETS, HUB, without_bars

ALL = (TRANSFORMERS, HUB, DATASETS)


def loading_a_model() -> AbstractContextManager[None]:
    return quiet_progress_bars()


def loading_rows() -> AbstractContextManager[None]:
    return without_bars(DATASETS, HUB)


def are_on() -> tuple[bool, ...]:
    return tuple(bars.are_on() for bars in ALL)


def switch(wanted: tuple[bool, ...]) -> None:
    for bars, on in zip(ALL, wanted, strict=True):
        bars.turn(on)


@pytest.fixture(params=[(True,) * 3, (False,) * 3, (True, False, True)], ids=["on", "off", "the hub's off"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, ...]]:
    """Switch the bars on or off, as a user would have; returns which are on."""
    was = are_on()
    switch(request.param)
    assert are_on() == request.param
    yield request.param
    switch(was)


@pytest.mark.parametrize("one", [loading_a_model, loading_rows])
@pytest.mark.parametrize("other", [loading_a_model, loading_rows])
def test_bars_stay_off_until_the_last_of_two_is_done(
    one: Callable[[], AbstractContextManager[None]],
    other: Callable[[], AbstractContextManager[None]],
    before: tuple[bool, ...],
) -> None:
    """A model and rows may be loaded at a time, and the first to begin is not always the last to end."""
    for order in permutations((0, 1)):
        blocks = [one(), other()]
        for block in blocks:
            block.__enter__()
        blocks[order[0]].__exit__(None, None, None)
        assert not HUB.are_on(), "the other is still loading"
        assert not (TRANSFORMERS if loading_a_model in (one, other) else DATASETS).are_on()
        blocks[order[1]].__exit__(None, None, None)
        assert are_on() == before


@pytest.mark.parametrize("block", [loading_a_model, loading_rows])
def test_a_failure_leaves_the_bars_as_they_were(
    block: Callable[[], AbstractContextManager[None]], before: tuple[bool, ...]
) -> None:
    with pytest.raises(OSError), block():
        raise OSError
    assert are_on() == before


def test_what_a_user_set_for_a_group_of_bars_stays() -> None:
    """Where all others are off already, there is nothing to switch."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    was = HUB.are_on()
    disable_progress_bars()
    enable_progress_bars("of a user")
    try:
        with loading_rows():
            pass
        assert are_progress_bars_disabled() and not are_progress_bars_disabled("of a user")
    finally:
        HUB.turn(was)


def test_to_be_quiet_loads_no_library() -> None:
    """Importing torch takes seconds, and takes them from other cells unless it is done gently."""
    code = (
        "import sys, shadownb.engine.models, shadownb.engine.data.hub, shadownb.engine.backends.torch.quiet\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
