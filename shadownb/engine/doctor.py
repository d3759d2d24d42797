"""Doctor: is this machine ready? Versions, kernel, hardware, memory, disk and models, without touching the network.

print(shadownb.doctor())
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from shadownb.engine.home import home

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "pydantic",
    "IPython",
    "ipykernel",
    "anywidget",
    "plotly",
)
_NEEDED_DISK_GB = 5.0
_NEEDED_MEMORY_GB = 3.0
_SUBSHELL_KERNEL = 7
_GB = 1e9


@dataclass(frozen=True)
class Line:
    """One finding; ``fix`` is the next step where ``status`` is not ok."""

    status: Literal["ok", "warn", "fix"]
    name: str
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """What the doctor found, shown as text or as a table."""

    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing has to be mended before training."""
        return all(line.status != "fix" for line in self.lines)

    def __str__(self) -> str:
        width = max((len(line.name) for line in self.lines), default=0)
        rows = [
            f"{line.status:4}  {line.name:{width}}  {line.found}{f'  -> {line.fix}' if line.fix else ''}"
            for line in self.lines
        ]
        return "\n".join([*rows, self.summary])

    __repr__ = __str__

    @property
    def summary(self) -> str:
        """The findings in one sentence."""
        count = {status: sum(line.status == status for line in self.lines) for status in ("warn", "fix")}
        if count["fix"]:
            return f"Not ready: {count['fix']} to fix, {count['warn']} to know."
        return "Ready." if not count["warn"] else f"Ready, with {count['warn']} to know."

    def _repr_html_(self) -> str:
        marks = {"ok": "✓ ok", "warn": "△ warn", "fix": "✗ fix"}
        rows = "".join(
            f'<tr><td>{marks[line.status]}</td><th scope="row" style="text-align:left">{escape(line.name)}</th>'
            f'<td style="text-align:left">{escape(line.found)}</td><td style="text-align:left">{escape(line.fix)}</td></tr>'
            for line in self.lines
        )
        return f"<table><caption>{escape(self.summary)}</caption><tbody>{rows}</tbody></table>"


def doctor(kernel: Any = None) -> Report:
    """Examine this machine.

    Parameters
    ----------
    kernel
        The running ipykernel, if there is one; it knows whether the front end gets subshells.
    """
    findings = (
        _python,
        _libraries,
        lambda: _notebook(kernel),
        _hardware,
        _memory,
        _disk,
        _models,
    )
    return Report(tuple(line for finding in findings for line in finding()))


def _python() -> Iterator[Line]:
    version = platform.python_version()
    old = sys.version_info < (3, 11)
    yield Line(
        "fix" if old else "ok",
        "Python",
        version,
        "Use Python 3.11 or newer." if old else "",
    )


def _libraries() -> Iterator[Line]:
    wanted = _requirements()
    for name in _LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Line(
                "fix",
                name,
                "not installed",
                f"pip install {wanted.get(name.lower(), name)}",
            )
            continue
        requirement = wanted.get(name.lower())
        if requirement is not None and not requirement.specifier.contains(version, prereleases=True):
            yield Line(
                "fix",
                name,
                f"{version}, needs {requirement.specifier}",
                f'pip install "{requirement}"',
            )
        else:
            yield Line("ok", name, version)
    yield _optional("bitsandbytes", "4-bit and 8-bit bases", "qlora")


def _optional(package: str, use: str, extra: str) -> Line:
    try:
        return Line("ok", package, metadata.version(package))
    except metadata.PackageNotFoundError:
        return Line(
            "warn",
            package,
            f"not installed: no {use}",
            f"pip install {package}, if you want {extra}",
        )


def _requirements() -> dict[str, Any]:
    """Return the version ranges that shadownb itself declares, by lower-case package name."""
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires("shadownb") or []
    except metadata.PackageNotFoundError:
        return {}
    return {requirement.name.lower(): requirement for requirement in map(Requirement, declared)}


def _notebook(kernel: Any) -> Iterator[Line]:
    if kernel is None:
        yield Line("ok", "kernel", "none: this is a plain Python process")
        return
    subshells = getattr(kernel, "_supports_kernel_subshells", False)
    version = metadata.version("ipykernel")
    if subshells:
        yield Line(
            "ok",
            "kernel",
            f"ipykernel {version} with subshells: buttons work while a cell runs",
        )
    else:
        old = int(version.split(".")[0]) < _SUBSHELL_KERNEL
        fix = (
            "pip install 'ipykernel>=7' and restart the kernel."
            if old
            else "Use a front end with subshells, such as JupyterLab 4.4."
        )
        yield Line(
            "warn",
            "kernel",
            f"ipykernel {version} without subshells: buttons wait for the running cell",
            fix,
        )
    yield Line("ok", "front end", _front_end())


def _front_end() -> str:
    if "google.colab" in sys.modules:
        return "Colab"
    if any(name.startswith("VSCODE_") for name in os.environ):
        return "VS Code"
    if "marimo" in sys.modules:
        return "marimo"
    return "Jupyter" if "JPY_SESSION_NAME" in os.environ or "JPY_PARENT_PID" in os.environ else "unknown"


def _hardware() -> Iterator[Line]:
    from shadownb.engine import hardware

    found = hardware.detect()
    for device in found.devices:
        memory = f", {device.memory_gb:.1f} GB" if device.memory_gb else ""
        chosen = " (recommended)" if device.kind == found.recommended else ""
        yield Line(
            "ok" if device.usable else "warn",
            device.kind,
            f"{device.name}{memory}{chosen}",
            "" if device.usable else device.reason,
        )
    yield Line("ok", "cores", str(found.cores))


def _memory() -> Iterator[Line]:
    from shadownb.engine import hardware

    found = hardware.detect()
    text = f"{found.free_memory_gb:.1f} GB free of {found.memory_gb:.1f} GB"
    little = found.free_memory_gb < _NEEDED_MEMORY_GB
    yield Line(
        "warn" if little else "ok",
        "memory",
        text,
        "Close other kernels before training." if little else "",
    )


def _disk() -> Iterator[Line]:
    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / _GB
    if not os.access(existing, os.W_OK):
        yield Line(
            "fix",
            "home",
            f"{folder} cannot be written",
            "Set SHADOWNB_HOME to a folder you may write to.",
        )
    elif free < _NEEDED_DISK_GB:
        yield Line(
            "warn",
            "home",
            f"{folder}, {free:.1f} GB free",
            "Free some disk, or set SHADOWNB_HOME to a larger one.",
        )
    else:
        yield Line("ok", "home", f"{folder}, {free:.1f} GB free")


def _models() -> Iterator[Line]:
    folder = home() / "models"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if names:
        size = sum(file.stat().st_size for file in _files(folder)) / _GB
        yield Line("ok", "models", f"{', '.join(names)} ({size:.1f} GB)")
    else:
        yield Line("ok", "models", "none cached yet; the first load prepares one")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
