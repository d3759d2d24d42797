"""What keeps the tests quick and changes none of them: which file goes first, and what the garbage collector need not look at.

Every run ends with a full collection, in which Python would look at each of the 600,000 objects of the imported libraries: half
a second, for tests that train four steps in a tenth of one. They are taken out of its sight, as
``shadownb.engine.backends.torch.preload`` does in a kernel.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

# The longest files, longest first: a processor that takes one of them up last lets the others wait. As measured; the rest follow
# as they are collected, and take seconds.
LONGEST_FIRST = (
    "notebooks/00_quickstart.ipynb",
    "tests/browser/test_kernel_gone.py",
    "notebooks/01_methods.ipynb",
    "tests/engine/test_runs_resume.py",
    "tests/mlx/test_front_ends.py",
    "tests/browser/test_panels.py",
    "tests/browser/test_studio.py",
    "tests/engine/test_resume_from.py",
    "tests/engine/test_starts.py",
    "tests/notebook/test_live_line.py",
    "tests/engine/test_gpu_check.py",
    "tests/engine/test_runs_control.py",
    "tests/capture/test_load.py",
    "tests/engine/test_runs_points.py",
    "tests/docs/test_examples.py",
    "tests/docs/test_site.py",
    "tests/docs/test_tasks.py",
    "tests/docs/test_recipes.py",
    "tests/engine/test_bad_input.py",
    "tests/engine/test_models.py",
    "tests/browser/test_looks.py",
    "tests/notebook/test_magics.py",
    "tests/engine/test_methods_matrix.py",
    "tests/engine/test_methods_golden.py",
    "tests/engine/test_runs_deleted.py",
    "tests/browser/test_as_trained.py",
    "tests/engine/test_capabilities.py",
    "notebooks/03_capture_an_agent.ipynb",
    "tests/engine/test_isolation.py",
    "tests/notebook/test_kernel_runs.py",
    "tests/engine/test_precision.py",
    "tests/engine/test_packing.py",
)
_CELL_SECONDS = 960  # nbval itself ends a cell after 900; the limit of a test is 300
_MANY_MODULES = 200  # a library of some size has come

_known_modules = 0


def sort_longest_first(items: list[pytest.Item], root: Path) -> None:
    """Put the tests of the longest files first; within a file, and among the others, their order stays."""
    rank = {root / name: at for at, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def give_notebooks_time(items: list[pytest.Item]) -> None:
    """Leave the time that a cell may take to nbval."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(_CELL_SECONDS))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Take what was imported since the last time out of the collector's sight, before a test makes anything."""
    global _known_modules
    if len(sys.modules) - _known_modules > _MANY_MODULES:
        gc.collect()
        gc.freeze()
        _known_modules = len(sys.modules)
