"""A tiny model that ends its answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import answering_models


@pytest.fixture(scope="session")
def folder(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it lies."""
    where = tmp_path_factory.mktemp("answering")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(where / "home"))
        return answering_models.write(byte_model_dir, where / "model")
