"""The walls that this machine has. Continuous integration has to have them: SHADOWNB_SANDBOX=required makes a skip a failure."""

from __future__ import annotations

import os
import sys

import pytest

from shadownb.engine.sandbox import SandboxError, Wall, find_wall


@pytest.fixture(scope="session", params=["bubblewrap", "namespaces"])
def wall(request: pytest.FixtureRequest) -> Wall:
    try:
        return find_wall(request.param)
    except SandboxError as error:
        if os.environ.get("SHADOWNB_SANDBOX") == "required" and sys.platform == "linux":
            pytest.fail(error.as_text())
        pytest.skip(error.as_text())
