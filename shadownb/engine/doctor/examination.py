"""The examination: versions, kernel, hardware, memory, what fits, and what lies on the disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any, Literal

from shadownb.engine.doctor import cleaning, storage
from shadownb.engine.doctor.report import Line, Report
from shadownb.engine.home import home, others_can_read

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


def doctor(kernel: Any = None) -> Report:
    """Examine this machine: versions, hardware, what is ready, what is cached; prints as a table with next steps.

    Parameters
    ----------
    kernel
        The running ipykernel, if there is one; it knows whether the front end supports subshells.

    Examples
    --------
    >>> report = snb.doctor()
    >>> for line in report.lines:
    ...     assert line.status == "ok" or line.fix, line
    >>> print(report.summary)
    Ready...
    """
    findings: dict[str, Callable[[], Iterator[Line]]] = {
        "Python": _python,
        "libraries": _libraries,
        "kernel": lambda: _notebook(kernel),
        "devices": _hardware,
        "training kernels": _kernels,
        "memory": _memory,
        "sandbox": _sandbox,
        "fits": _fitting,
        "home": _disk,
        "storage": storage.lines,
        "to free": _to_free,
    }
    return Report(tuple(line for name, look in findings.items() for line in _looked(name, look)))


def _looked(name: str, look: Callable[[], Iterator[Line]]) -> list[Line]:
    """Return findings; a machine in such a state that one cannot be made is what a doctor is there for."""
    try:
        return list(look())
    except Exception as error:
        said = f"could not be looked at: {type(error).__name__}"
        return [Line("warn", name, f"{said}: {error}", "Please report it, with shadownb doctor --bundle.", shared=said)]


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


def _sandbox() -> Iterator[Line]:
    from shadownb.engine.sandbox import SandboxError, find_wall

    try:
        wall = find_wall()
    except SandboxError as error:
        said = "none, so no program of a model is run"
        yield Line("warn", "sandbox", f"{said}: {error.why}", error.fix, shared=said)
    else:
        yield Line("ok", "sandbox", f"{wall.name}, for programs of a model")


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


def _kernels() -> Iterator[Line]:
    """Say whether the backend's own ways of computing, which are chosen by figures of other machines, are faster on this one."""
    from shadownb.engine import hardware
    from shadownb.engine.loaded.backends import DEFAULT, backend

    tried = backend(DEFAULT).try_kernels() if hardware.detect().recommended == "cpu" else None
    if tried is None:
        return
    speeds = ", ".join(f"{name} {tried.speeds[name]:.2f}" for name in tried.on)
    text = f"{speeds} times as fast as plain ones ({tried.where})" if speeds else f"none on {tried.where}"
    if tried.slower:
        fix = "Look again when the machine is idle; shadownb.load(..., accelerator='none') trains without them."
        yield Line("warn", "training kernels", f"{text}: slower here is {', '.join(tried.slower)}", fix)
    else:
        yield Line("ok", "training kernels", text)


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


def _fitting() -> Iterator[Line]:
    """Say which of the models with a short name can be trained here, by the rule that also chooses their number format."""
    from shadownb.engine import hardware
    from shadownb.engine.models.catalog import catalog
    from shadownb.engine.models.fitting import fit

    found = hardware.detect()
    sorted_by: dict[str, list[str]] = {"whole": [], "4bit": [], "none": []}
    for info in catalog():
        sorted_by[fit(info, found).how].append(info.name)
    whole, in_4_bits, none = sorted_by.values()
    parts = [", ".join(whole)] if whole else []
    parts += [f"{', '.join(in_4_bits)} with quantize='4bit'"] if in_4_bits else []
    text = f"adapters can be trained on {'; '.join(parts) or 'none of the models with a short name'}"
    too_large = f"; too large: {', '.join(none)}" if none else ""
    yield Line("ok" if parts else "warn", "fits", text + too_large)


def _to_free() -> Iterator[Line]:
    if size := cleaning.plan().size:
        yield Line("ok", "to free", f"{storage.readable(size)} that can be made again: shadownb doctor --clean")


def _disk() -> Iterator[Line]:
    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / _GB
    place = "SHADOWNB_HOME" if os.environ.get("SHADOWNB_HOME") else "~/.shadownb"
    status: Literal["ok", "warn", "fix"]
    if not existing.is_dir():
        status, found, fix = "fix", "is no folder", "Set SHADOWNB_HOME to a folder, or move that file."
    elif not os.access(existing, os.W_OK):
        status, found, fix = "fix", "cannot be written", "Set SHADOWNB_HOME to a folder you may write to."
    elif free < _NEEDED_DISK_GB:
        fix = "Free some disk (shadownb doctor --clean), or set SHADOWNB_HOME to a larger one."
        status, found = "warn", f"{free:.1f} GB free"
    elif others_can_read(folder):
        found = f"{free:.1f} GB free; other users of this machine can read it"
        status, fix = "warn", f"chmod 700 {folder}, unless it is shared on purpose."
    else:
        status, found, fix = "ok", f"{free:.1f} GB free", ""
    yield Line(status, "home", f"{folder}, {found}", fix, shared=f"{place}, {found}")
