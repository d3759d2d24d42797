"""The site, built once for the tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.building import site_of


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages."""
    return site_of(tmp_path_factory)
