"""Builds the documentation for the tests that look at it, once for all of their processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]


def site_of(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built pages; a warning, such as a link that leads nowhere, ends the build."""
    base = factory.getbasetemp()
    # Processes of pytest-xdist have folders of their own in one that is this run's.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    target = shared / "documentation"
    with FileLock(shared / "documentation.lock"):
        if not target.exists():
            part = target.with_suffix(".part")
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(part)]
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            part.rename(target)
    return target
