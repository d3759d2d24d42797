"""Two users of one machine: what one keeps, the other can neither read nor write."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import shadownb as snb
from shadownb.engine.config import TrainConfig
from shadownb.engine.home import home, subfolder
from shadownb.engine.runs.store import FolderStore
from shadownb.errors import ConfigError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
NOBODY = 65534


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that is not there yet, with the umask that lets everybody read."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "of-one" / "home"))
    before = os.umask(0o022)
    yield home()
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_whatever_comes_first_makes_a_home_for_its_owner_alone(own: Path) -> None:
    store = FolderStore(own)
    store.create(TrainConfig(), {})
    store.store_rows(snb.Dataset([{"prompt": "What is my address?", "completion": "5 Hill Road"}]))
    snb.notifications.add("mine", url="https://example.com/secret")
    for name in ("models", "answers", "sweeps", "servers"):
        subfolder(name)
    with snb.capture("http://127.0.0.1:9/v1") as recorder:
        recording = own / "captures"
        assert recorder.token
    for folder in (
        own,
        own / "runs",
        own / "datasets",
        own / "models",
        own / "servers",
        recording,
        *recording.iterdir(),
    ):
        assert mode(folder) == 0o700, folder
    assert mode(own / "notify.json") == 0o600


def test_a_home_that_is_shared_on_purpose_stays_shared_and_the_doctor_says_so(own: Path) -> None:
    own.mkdir(parents=True)
    own.chmod(0o770)
    subfolder("models")
    assert mode(own) == 0o770
    told = next(line for line in snb.doctor().lines if line.name == "home")
    assert "other users of this machine can read it" in told.found and "chmod 700" in told.fix
    own.chmod(0o700)
    assert "other users" not in next(line for line in snb.doctor().lines if line.name == "home").found


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_nothing_and_gets_a_home_of_their_own(own: Path) -> None:
    kept = FolderStore(own).create(TrainConfig(), {}).path / "config.yaml"
    assert kept.is_file()
    for parent in reversed(own.parents):  # the way to the home is open, as /home is
        if mode(parent) & 0o005 != 0o005:
            parent.chmod(mode(parent) | 0o005)
    script = f"import os, sys; os.setgid({NOBODY}); os.setuid({NOBODY}); open(sys.argv[1]).read()"
    done = subprocess.run([sys.executable, "-c", script, str(kept)], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


def test_a_home_of_somebody_else_is_refused_with_what_to_set(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    for make in (lambda: subfolder("models"), lambda: FolderStore(own).create(TrainConfig(), {})):
        with pytest.raises(ConfigError, match="Set SHADOWNB_HOME to a folder of your own"):
            make()
