"""The libraries' progress bars stay off as long as anything of ours runs, and are as before afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import datasets
import pytest
from transformers.utils import logging

from shadownb.engine.models.quiet import quiet_progress_bars


@pytest.fixture(params=[True, False], ids=["on", "off"])
def before(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Switch the bars on or off, as a user would have; returns which."""
    was = are_on()
    switch(request.param, request.param)
    yield request.param
    switch(*was)


def switch(transformers: bool, others: bool) -> None:
    (logging.enable_progress_bar if transformers else logging.disable_progress_bar)()
    (datasets.enable_progress_bars if others else datasets.disable_progress_bars)()


def are_on() -> tuple[bool, bool]:
    return logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()


def test_bars_stay_off_until_the_last_of_two_loads_is_done(before: bool) -> None:
    """Two models may be loaded at a time, and the first to begin is not always the last to end."""
    first, second = quiet_progress_bars(), quiet_progress_bars()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert are_on() == (False, False), "the second is still loading"
    second.__exit__(None, None, None)
    assert are_on() == (before, before)


def test_a_failure_leaves_the_bars_as_they_were(before: bool) -> None:
    with pytest.raises(OSError), quiet_progress_bars():
        raise OSError
    assert are_on() == (before, before)


def test_a_library_that_comes_while_another_load_goes_on_is_quiet_too(
    before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = quiet_progress_bars(), quiet_progress_bars()
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "datasets")  # as in a process that has read nothing from the hub yet
        first.__enter__()
        assert "datasets" not in sys.modules, "loading a model needs none of it"
    second.__enter__()
    assert are_on() == (False, False)
    second.__exit__(None, None, None)
    first.__exit__(None, None, None)
    assert are_on() == (before, before)
