"""Fixtures of the notebook tests: one kernel a module, with a home of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import start_kernel
from tests.notebook.kernel import Kernel


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def started(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    environment = {**os.environ, "SHADOWNB_HOME": str(home)}
    manager, client = start_kernel(env=environment, cwd=str(tmp_path_factory.mktemp("work")))
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    """The kernel with the extension loaded, whatever the test before has done."""
    started.run("%reload_ext shadownb")
    return started
