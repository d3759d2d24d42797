"""The kind of CPU that decisions are made for, and the switch that hides units to emulate the other kind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shadownb.engine import hardware
from shadownb.errors import ConfigError

pytestmark = pytest.mark.other_cpu

ZEN4 = frozenset({"avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "avx_vnni"})


@pytest.fixture(autouse=True)
def zen4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_native_cpu_flags", lambda: ZEN4)
    monkeypatch.delenv(hardware.CPU_VARIABLE, raising=False)


def test_a_cpu_with_bf16_units_trains_in_fp32_all_the_same_and_says_why() -> None:
    value, reason = hardware.choose_dtype("auto", "cpu", 0.3)
    assert value == "float32"
    assert "amx_bf16" in reason and "67 % came out right with it and 74 % with fp32" in reason


def test_bf16_is_taken_where_fp32_would_not_fit_and_the_cpu_has_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: SimpleNamespace(total=16e9))
    value, reason = hardware.choose_dtype("auto", "cpu", 7.0)
    assert value == "bfloat16" and "fp32 would take 14 GB" in reason
    assert hardware.choose_dtype("auto", "cpu", 4.0)[0] == "float32"
    monkeypatch.setattr(hardware, "_native_cpu_flags", lambda: frozenset({"avx2"}))
    assert hardware.choose_dtype("auto", "cpu", 7.0)[0] == "float32", "slower by far without units"


def test_the_other_kind_of_cpu_is_emulated_by_hiding_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.CPU_VARIABLE, "avx2")
    assert hardware.cpu_flags() == {"avx", "avx2", "fma"}
    value, reason = hardware.choose_dtype("auto", "cpu")
    assert value == "float32"
    assert "SHADOWNB_CPU=avx2 hides bf16 units" in reason
    assert hardware.describe()["emulated_cpu"] == "avx2", "a record says what was emulated"
    assert hardware.choose_dtype("bfloat16", "cpu")[0] == "bfloat16", "what is asked for is not taken away"


def test_a_cpu_with_bf16_units_is_emulated_by_choosing_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_native_cpu_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setenv(hardware.CPU_VARIABLE, "bf16")
    assert hardware.choose_dtype("auto", "cpu") == ("bfloat16", "SHADOWNB_CPU=bf16: as on a CPU with bf16 units")
    assert hardware.cpu_flags() == {"avx2"}, "no unit is made up"


def test_nothing_is_emulated_unless_asked() -> None:
    assert hardware.cpu_flags() == ZEN4
    assert hardware.describe()["emulated_cpu"] == ""


def test_an_unknown_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.CPU_VARIABLE, "avx22")
    with pytest.raises(ConfigError, match=r"SHADOWNB_CPU='avx22' is not a kind of CPU\. Did you mean 'avx2'"):
        hardware.choose_dtype("auto", "cpu")
