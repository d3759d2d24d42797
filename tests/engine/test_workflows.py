"""What a public host runs and shows: it names targets, versions, files and options that there are, and holds no token."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from shadownb import __version__

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob(".github/workflows/*.yml")
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands(workflow: dict[str, Any]) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_a_workflow_makes_what_can_be_made_and_may_read_alone(name: str) -> None:
    workflow = WORKFLOWS[name]
    made = [
        word
        for text in commands(workflow)
        for line in re.findall(r"^make (.*)$", text, re.MULTILINE)
        for word in line.split()
    ]
    targets = {word for word in made if "=" not in word and "/" not in word and not word.endswith('"')}
    assert targets and targets <= TARGETS
    assert workflow["permissions"] == {"contents": "read"}
    text = (ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    assert "secrets." not in text and not re.search(r"password|api[-_]token|://", text), (
        "publishing is trusted, without a token"
    )
    # What an event brings is put into a command by the environment alone, where a shell does not read it as code.
    assert not any("${{" in command for command in commands(workflow))


def test_every_python_is_tested_that_the_package_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert WORKFLOWS["test"]["jobs"]["everything"]["strategy"]["matrix"]["python"] == said
    others = WORKFLOWS["test"]["jobs"]["other-systems"]["strategy"]["matrix"]
    assert others["python"] == [said[0], said[-1]] and {name.split("-")[0] for name in others["system"]} == {
        "macos",
        "windows",
    }
    assert project["requires-python"] == f">={said[0]}"


def test_a_release_is_published_by_trust_alone() -> None:
    build, publish = WORKFLOWS["release"]["jobs"]["build"], WORKFLOWS["release"]["jobs"]["publish"]
    assert "permissions" not in build and publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build" and publish["environment"] == "pypi"
    (check,) = (text for text in commands(WORKFLOWS["release"]) if "_version.py" in text)
    written = (ROOT / "shadownb/_version.py").read_text(encoding="utf-8").splitlines()
    assert f'__version__ = "{__version__}"' in written and '__version__ = \\"${GITHUB_REF_NAME#v}\\"' in check


def test_what_a_reporter_is_asked_for_and_what_is_promised_is_there() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    (asked,) = (item for item in form["body"] if item.get("id") == "bundle")
    assert "shadownb doctor --bundle" in asked["attributes"]["description"]
    promised = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tests|docs)/[\w/.]+|constraints[\w.-]*)`", promised):
        assert (ROOT / path).exists(), path
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__ and cited["authors"] == [{"name": "ShadowNB developers"}]


def test_hooks_are_the_projects_own_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    for hook in hooks[0]["hooks"]:
        tool, *words = hook["entry"].split()
        assert hook["language"] == "system" and (tool.startswith(".venv/bin/") or words[-1] in TARGETS), hook["id"]
