"""The exact versions that `make` installs: everything has a hash, nothing is missing, and no address of an index is kept."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ("constraints.txt", "constraints-pip.txt", "constraints-torch.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def entries(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Yield each requirement of a file with its hashes."""
    text = re.sub(r"#.*", "", (ROOT / name).read_text(encoding="utf-8")).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        requirement, *hashes = re.split(r"\s+--hash=", line)
        yield Requirement(requirement.strip()), hashes


def asked_for() -> list[Requirement]:
    """Return what pyproject.toml itself names: dependencies, extras, groups."""
    project = PROJECT["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    return [Requirement(text) for names in lists for text in names]


@pytest.mark.parametrize("name", LOCKED)
def test_every_entry_is_exact_and_hashed(name: str) -> None:
    for requirement, hashes in entries(name):
        assert [one.operator for one in requirement.specifier] == ["=="], requirement
        if requirement.name == "torch":  # the head of its file says why
            assert name == "constraints-torch.txt" and not hashes
        else:
            assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), requirement


@pytest.mark.parametrize("name", LOCKED)
def test_no_address_is_kept(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text and not re.search(r"^\s*(?:-i|--(?:extra-)?index-url|--find-links)\b", text, re.MULTILINE)


def test_what_the_project_asks_for_is_locked_within_its_ranges() -> None:
    locked = {canonicalize_name(entry.name): entry for name in LOCKED for entry, _ in entries(name)}
    for wanted in asked_for():
        found = locked.get(canonicalize_name(wanted.name))
        assert found is not None, f"{wanted.name} is not locked: make lock UPGRADE="
        version = next(iter(found.specifier)).version
        assert wanted.specifier.contains(version), f"{found} is not in {wanted}: make lock UPGRADE="


def test_nothing_comes_in_unlocked() -> None:
    """Follow what is installed here from the project's own names to all that they bring."""
    locked = {canonicalize_name(entry.name) for name in LOCKED for entry, _ in entries(name)}
    waiting, seen, missing = [(wanted, "") for wanted in asked_for()], set(), set()
    while waiting:
        wanted, why = waiting.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": why}):
            continue
        if name not in locked:
            missing.add(f"{name}, for {why or 'the project'}")
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                brought = metadata.requires(name) or []
            except metadata.PackageNotFoundError:  # not for this system, or a group that is not installed here
                continue
            waiting += [(Requirement(text), extra) for text in brought]
    assert not missing
