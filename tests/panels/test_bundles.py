"""The committed front-end bundles: built from these sources, and what the runtime widget makes of them."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import plotly
import pytest

from shadownb.panels import _runtime
from shadownb.panels._runtime import STATIC

WIDGETS = Path(__file__).parents[2] / "widgets"


@pytest.fixture(scope="module")
def npm() -> str:
    found = shutil.which("npm")
    if found is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    if not (WIDGETS / "node_modules").is_dir():
        pytest.skip("the front end's packages are not installed: npm ci in widgets/")
    return found


def test_a_rebuild_gives_the_committed_bundles(npm: str, tmp_path: Path) -> None:
    command = [npm, "run", "--silent", "build", "--", "--outdir", str(tmp_path)]
    done = subprocess.run(command, cwd=WIDGETS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in (".js", ".css")}
    assert sorted(built) == sorted(committed)
    stale = [name for name, content in built.items() if committed[name] != content]
    assert not stale, f"run npm run build in widgets/ and commit: {stale}"


def test_the_lock_file_names_no_host() -> None:
    lock = (WIDGETS / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "registry." not in lock


def test_panels_and_figures_draw_with_the_same_plotly_major() -> None:
    banner = re.search(r"plotly\.js \(basic - minified\) v(\d+)\.", (STATIC / "plotly.js").read_text())
    from plotly.offline import get_plotlyjs_version

    assert banner is not None
    assert banner[1] == get_plotlyjs_version().split(".")[0], f"plotly {plotly.__version__}"


def test_one_runtime_a_kernel_made_again_after_close_all() -> None:
    first = _runtime.ensure_runtime()
    assert _runtime.ensure_runtime() is first
    assert gzip.decompress(first.source) == (STATIC / "plotly.js").read_bytes()
    assert len(first.source) < 450_000
    first.close()
    assert _runtime.ensure_runtime() is not first


def test_no_bundle_loads_anything_from_elsewhere() -> None:
    """Hosts without a network, and VS Code and Colab with a strict one, have the bundles and nothing else."""
    loads = re.compile(
        r"""(?:import\s*\(?|from|src\s*[=:]|fetch\s*\(|url\s*\(|@import)\s*["'`(]?(?:https?:)?//[\w.-]+"""
    )
    assert loads.search('import("https://esm.sh/preact")') and loads.search("url(//fonts.example.com/a.woff2)")
    bundles = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    assert len(bundles) > 20
    found = {path.name: loads.findall(path.read_text(encoding="utf-8")) for path in bundles}
    assert {name: each for name, each in found.items() if each} == {}
