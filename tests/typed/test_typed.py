"""What a user's type checker makes of the package: a script without Any, and mistakes that are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def checked(script: Path, cache: Path) -> str:
    """Return what mypy says of a script as strictly as it can, with no settings of ours."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(cache), str(script)]
    return subprocess.run(command, capture_output=True, text=True, cwd=script.parent, check=False).stdout


def test_a_users_script_is_checked_strictly(tmp_path: Path) -> None:
    assert "Success" in checked(HERE / "sample.py", tmp_path)
    script = HERE / "wrong.py"
    found = {int(number) for number in re.findall(r"wrong\.py:(\d+): error", checked(script, tmp_path))}
    lines = script.read_text(encoding="utf-8").splitlines()
    assert found == {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
