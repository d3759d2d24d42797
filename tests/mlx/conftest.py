"""What the tests of the MLX backend share: a home of their own. They are left out where mlx-lm is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mlx

collect_ignore_glob = [] if mlx.is_here() else ["test_*.py"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SHADOWNB_HOME that is empty."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(folder))
        yield folder
