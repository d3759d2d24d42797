"""Programs that are waited for: what they print, and that none is left when the work is stopped or takes too long."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from shadownb.engine import live
from shadownb.engine.children import ran
from tests.waiting import wait_for

SLOW = "import subprocess, sys, time, pathlib; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
SLOW += "pathlib.Path(sys.argv[1]).write_text(str(p.pid)); time.sleep(600)"


def test_what_it_is_told_and_prints() -> None:
    program = "import sys, time; text = sys.stdin.read(); time.sleep(0.5); print(text[::-1]); sys.exit(3)"
    done = ran([sys.executable, "-c", program], input="abc" * 100_000)
    assert (done.returncode, done.stdout.strip()) == (3, "cba" * 100_000)


def test_a_stop_and_a_limit_end_it_with_what_it_started(tmp_path: Path) -> None:
    for number, limit in enumerate((None, 3.0)):
        file, asked = tmp_path / str(number), threading.Event()
        if limit is None:
            threading.Thread(target=lambda f=file, a=asked: (wait_for(f.exists), a.set())).start()
        with live.stoppable(asked.is_set), pytest.raises((live.Stopped, subprocess.TimeoutExpired)):
            ran([sys.executable, "-c", SLOW, str(file)], timeout=limit)
        if file.exists() and file.read_text():
            wait_for(lambda f=file: not psutil.pid_exists(int(f.read_text())))
        assert limit is not None or asked.is_set()
