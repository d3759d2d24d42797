"""Which tests a run takes, on which kind of CPU, and what it could not cover; the hooks are pytest's.

Two kinds of CPU give different results: with bf16 units (AVX-512 or AMX) the libraries take wider kernels, and ``dtype="auto"``
is bf16 where fp32 would not fit; without them it is fp32. A run takes the machine as it is. ``--other-cpu`` runs the tests that
are marked for it once more, as they would come out on the other kind, as far as this machine can: it can leave units unused, and
choose a format that it computes slowly, but not compute with units it lacks. ``--full`` takes the whole of every product that is
sampled.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import pytest

# Instructions that this process and its children do without. MKL obeys on Intel's CPUs only.
_AVX2 = {
    "SHADOWNB_CPU": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
_BF16 = {"SHADOWNB_CPU": "bf16"}

_NATIVE = {
    "bf16": "dtype='auto' as fp32; the libraries' kernels for AVX-512",
    "plain": "dtype='auto' as fp32; the libraries' kernels for this CPU",
}
_EMULATED = {
    "bf16": "dtype='auto' as fp32; kernels of torch and oneDNN for AVX2",
    "plain": "dtype='auto' as bf16, in software",
}
_LEFT = {
    "bf16": "kernels for AVX2 of bitsandbytes and, but on Intel's CPUs, of MKL, which choose by the CPU alone",
    "plain": "bf16 in hardware, and the kernels that go with it",
}


def kind() -> str:
    """Return the kind of this machine's CPU, whatever is emulated: ``bf16`` for one with such units, else ``plain``."""
    from shadownb.engine import hardware

    return "bf16" if hardware._native_cpu_flags().intersection(hardware._BF16_UNITS) else "plain"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("shadownb")
    group.addoption(
        "--other-cpu", action="store_true", help="run the tests marked other_cpu as on the other kind of CPU"
    )
    group.addoption("--full", action="store_true", help="run also what is otherwise sampled")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the kind of CPU before anything imports torch, for the test processes and for all that they start."""
    if config.getoption("--other-cpu"):
        os.environ.update(_AVX2 if kind() == "bf16" else _BF16)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run does not take."""
    taken = {item: _taken(item, config) for item in items}
    if not all(taken.values()):
        config.hook.pytest_deselected(items=[item for item in items if not taken[item]])
        items[:] = [item for item in items if taken[item]]


def _taken(item: pytest.Item, config: pytest.Config) -> bool:
    if item.get_closest_marker("full") is not None and not config.getoption("--full"):
        return False
    if not config.getoption("--other-cpu"):
        return True
    marker = item.get_closest_marker("other_cpu")
    # Where only the format is another, a test that names its format would be run a second time in vain.
    return marker is not None and (kind() == "bf16" or "auto" in marker.args)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say at the end what was covered how, and what was not, by name."""
    say = terminalreporter.write_line
    here, other = kind(), config.getoption("--other-cpu")
    units = "with bf16 units" if here == "bf16" else "without bf16 units"
    say(f"CPU {units}; covered {'by emulation' if other else 'natively'}: {(_EMULATED if other else _NATIVE)[here]}.")
    if other:
        say(f"Not covered on this machine: {_LEFT[here]}.")
    skipped: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[reason.removeprefix("Skipped: ")].append(report.nodeid.partition("::")[2] or report.nodeid)
    for reason, names in sorted(skipped.items()):
        say(f"Not covered, {reason}: {', '.join(sorted(set(names)))}")
