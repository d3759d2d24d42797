"""Kernels beside their plain references: values and gradients over shapes and number formats, and what takes their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters import lora_operation
from shadownb.engine.backends.torch.attention import choose_packing
from shadownb.engine.backends.torch.kernels import (
    choosing,
    head_loss,
    onednn_linear,
    rms_norm,
    rotary,
    rule,
    trial,
    wide_attention,
)
from shadownb.engine.backends.torch.kernels.installed import NAMES
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.config import TrainConfig
from tests.engine.methods_data import OPTIONS, chats, stop_after
from tests.engine.test_packing import ARCHITECTURES, made, rows

pytestmark = pytest.mark.other_cpu

FORMATS = [torch.float32, torch.bfloat16]
CLOSE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.bfloat16: {"rtol": 0.02, "atol": 0.05}}


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def has_products(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has these products; only those of bf16 are missing on some processors, which have AVX2 alone."""
    reason = onednn_linear.refused(dtype)
    assert reason == "" or (dtype == torch.bfloat16 and "does not compute it" in reason), reason
    return not reason


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("shape", "out"), [((1, 24), 8), ((0, 24), 8), ((2, 3, 70), 33), ((131, 64), 48)])
def test_products_are_the_plain_ones(dtype: torch.dtype, shape: tuple[int, ...], out: int) -> None:
    if not has_products(dtype):
        pytest.skip(f"bf16: {onednn_linear.refused(dtype)}")
    rows, weight = numbers(*shape, dtype=dtype), numbers(out, shape[-1], dtype=dtype, seed=1)
    bias, onto = numbers(out, dtype=dtype, seed=2), numbers(*shape[:-1], out, dtype=dtype, seed=3)
    before = onto.clone()
    for given in (
        (rows, weight),
        (rows, weight, bias),
        (rows, weight, weight[:, 0]),
        (rows, weight, None, onto),
        (onto, weight.t()),
    ):
        torch.testing.assert_close(onednn_linear.product(*given), onednn_linear.plain(*given), **CLOSE[dtype])
    assert torch.equal(onto, before)
    if shape[0] > 100:  # rows that do not lie side by side, as slices of a wider tensor
        wide = numbers(shape[0], 3 * shape[-1], dtype=dtype)[:, 5 : 5 + shape[-1]]
        torch.testing.assert_close(onednn_linear.product(wide, weight), wide @ weight.t(), **CLOSE[dtype])


def test_a_gradient_that_is_asked_for_is_not_lost() -> None:
    rows, weight = numbers(5, 8).requires_grad_(), numbers(3, 8)
    onednn_linear.product(rows, weight).sum().backward()
    torch.testing.assert_close(rows.grad, weight.sum(0).expand(5, 8))


def test_products_are_refused_where_they_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "float64" in onednn_linear.refused(torch.float64)
    assert "cuda" in onednn_linear.refused(torch.float32, "cuda:0")
    with torch.backends.mkldnn.flags(enabled=False):
        assert "switched off" in onednn_linear.refused(torch.float32)
    monkeypatch.setattr(onednn_linear, "_SCHEMAS", ("another", "one"))
    onednn_linear._refused.cache_clear()
    assert "another operator" in onednn_linear.refused(torch.float32)
    monkeypatch.undo()
    monkeypatch.setattr(onednn_linear, "plain", lambda rows, weight, bias=None, onto=None: rows @ weight.t() * 1.1)
    onednn_linear._refused.cache_clear()
    assert "computes something else" in onednn_linear.refused(torch.float32)
    onednn_linear._refused.cache_clear()


def both_ways(way: Callable[..., Any], *given: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    """Return outputs of a way and the gradients of what has one, of numbers that are all different."""
    leaves = [x.detach().clone().requires_grad_(x.requires_grad) for x in given]
    outputs = way(*leaves, **options)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    factors = [numbers(*output.shape, seed=7).to(output.dtype) for output in outputs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return [*(output.detach() for output in outputs), *torch.autograd.grad(outputs, wanted, factors)]


def assert_alike(ours: list[torch.Tensor], plain: list[torch.Tensor], limit: float) -> None:
    assert len(ours) == len(plain)
    for found, expected in zip(ours, plain, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert (found.float() - expected.float()).norm() <= limit * expected.float().norm()


LIMIT = {torch.float32: 2e-6, torch.bfloat16: 0.01}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("offset", "trained"), [(0.0, False), (1.0, True), (0.0, True)])
@pytest.mark.parametrize("shape", [(5, 24), (1, 7, 64), (2, 3, 4, 8)])
def test_norms_are_the_plain_ones(dtype: torch.dtype, shape: tuple[int, ...], offset: float, trained: bool) -> None:
    rows = (numbers(*shape, dtype=dtype) * 3).requires_grad_()
    weight = numbers(shape[-1], dtype=dtype, seed=1).requires_grad_(trained)
    ours = both_ways(rms_norm.computed, rows, weight, eps=1e-5, offset=offset)
    assert_alike(ours, both_ways(rms_norm.plain, rows, weight, eps=1e-5, offset=offset), LIMIT[dtype])


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 8), (1, 1, 2), (3, 3, 64)])
def test_turned_queries_and_keys_are_the_plain_ones(dtype: torch.dtype, heads: int, kv_heads: int, dim: int) -> None:
    query = numbers(1, 5, heads, dim, dtype=dtype).transpose(1, 2).requires_grad_()
    key = numbers(1, 5, kv_heads, dim, dtype=dtype, seed=1).transpose(1, 2).requires_grad_()
    angles = numbers(1, 5, dim // 2, seed=2).repeat(1, 1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    ours = both_ways(rotary.computed, query, key, cos, sin)
    assert_alike(ours, both_ways(rotary.plain, query, key, cos, sin), LIMIT[dtype])


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("rows", "bias"), [(1, False), (300, True), (0, False)])  # 300 are more than one chunk
def test_losses_of_the_head_are_the_plain_ones(dtype: torch.dtype, rows: int, bias: bool, trained: bool) -> None:
    hidden = numbers(rows, 16, dtype=dtype).requires_grad_()
    weight = numbers(50, 16, dtype=dtype, seed=1).requires_grad_(trained)
    offsets = numbers(50, dtype=dtype, seed=2).requires_grad_(trained) if bias else None
    targets = torch.arange(rows) * 7 % 50
    given = [hidden, weight, *([offsets] if offsets is not None else [])]

    def way(of: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return lambda h, w, b=None: of(h, w, b, targets, **options)

    plain = both_ways(way(head_loss.plain), *given)
    ways = (False, True) if has_products(dtype) else (False,)
    for onednn in ways:
        assert_alike(both_ways(way(head_loss.computed, onednn=onednn), *given), plain, LIMIT[dtype])
    with torch.no_grad():
        torch.testing.assert_close(way(head_loss.computed, onednn=ways[-1])(*given), plain[0], **CLOSE[dtype])


def test_losses_are_nearer_to_64_bits_than_the_plain_ones() -> None:
    """The sums of torch's own are off by 8e-6 of a loss of 0.7 over SmolLM2's vocabulary, all to one side; ours by 3e-7."""
    hidden, weight, targets = numbers(64, 16), numbers(49152, 16, seed=1), torch.arange(64)
    weight[:64] = 1.5 * hidden  # each target is likely, as of a trained model
    exact = torch.nn.functional.cross_entropy(hidden.double() @ weight.double().t(), targets)
    ours = float(head_loss.computed(hidden, weight, None, targets, onednn=False).double().mean() - exact)
    plain = float(head_loss.plain(hidden, weight, None, targets).double().mean() - exact)
    assert abs(ours) < 0.5 * abs(plain)


def test_wide_attention_is_nearer_to_32_bits_than_the_plain_one() -> None:
    given = [numbers(1, 4, 30, 16, seed=seed).bfloat16().requires_grad_() for seed in range(3)]
    exact = both_ways(wide_attention.plain, *(x.detach().float().requires_grad_() for x in given), is_causal=True)
    ours = both_ways(wide_attention.computed, *given, is_causal=True)
    plain = both_ways(wide_attention.plain, *given, is_causal=True)
    for a, b, c in zip(ours, plain, exact, strict=True):
        assert a.dtype == torch.bfloat16
        assert (a.float() - c).norm() <= 1.001 * (b.float() - c).norm() < 0.02 * c.norm()


# -- on models --------------------------------------------------------------------------------------------------------


def passes_of(model: Any, method: str = "lora") -> Passes:
    """Return the passes of a model that is trained, with kernels found and switched off."""
    options = {"lora_r": 4} if method == "lora" else {}
    adapter = adapters.prepare(model, None, TrainConfig(method=method, **options), adapters.Start("tiny"))
    draw = torch.Generator().manual_seed(1)
    for name, parameter in adapter.module.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=draw)
    packing, device = choose_packing(adapter.base), torch.device("cpu")
    readers = lora_operation.linears(adapter.module, adapter.base.get_output_embeddings())
    found = choosing.find(adapter.base, readers, adapter.base.dtype, device)
    return Passes(adapter, packing, device, 4096, packing.shares_start, found)


@pytest.fixture
def all_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "chosen", lambda possible, *_: (possible, "all are faster"))


WANTED = (True, "asked for")
# What an architecture has that a kernel does not know, and computes plainly: norms with a mean, a capped head, angles of its own.
PLAIN = {
    "gemma2": {"head_loss"},
    "stablelm": {"rms_norm"},
    "gpt2": {"rms_norm", "rotary"},
    "falcon": {"rms_norm"},
    "falcon alibi": {"rms_norm"},
    "bloom": {"rms_norm", "rotary"},
    "gpt-oss": {"rotary"},
}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_architecture_is_computed_as_before(all_are_faster: None, name: str, method: str) -> None:
    passes = passes_of(made(name), method)
    value, reason = choosing.choose(passes, torch.float32, WANTED)
    expected = {"linears", "head_loss", "rms_norm", "rotary"} - PLAIN.get(name, set())
    if method == "full" and name in ("gpt2", "falcon", "falcon alibi"):
        expected.discard("linears")  # layers of its own classes
    assert passes.kernels.on == expected, (value, reason)
    assert value == ", ".join(name for name in NAMES if name in expected)

    def own() -> set[str]:
        return {n for n, module in passes.adapter.module.named_modules() if "forward" in vars(module)}

    found, before = {}, own()
    for on in (frozenset(), passes.kernels.on):
        passes.kernels.on = on
        passes.adapter.module.zero_grad()
        with passes.tokens(passes.packed(rows())) as tokens:
            (
                tokens.logp * torch.arange(1, 1 + len(tokens.logp))
            ).sum().backward()  # as a preference's, a factor a token
        found[bool(on)] = (tokens.logp.detach(), {n: p.grad for n, p in passes.adapter.owned().items()})
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-5, atol=1e-5)
    whole = torch.stack([g.norm() for g in found[False][1].values() if g is not None]).norm()
    for parameter, gradient in found[False][1].items():
        ours = found[True][1][parameter]
        assert (ours is None) is (gradient is None), parameter
        if gradient is not None:
            assert (ours - gradient).norm() / torch.maximum(gradient.norm(), 1e-4 * whole) < 1e-3, parameter
    assert own() == before


def test_a_kernel_that_computes_something_else_is_left_out(
    all_are_faster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a later version of a library, or a model that only looks like those that are known."""
    passes = passes_of(made("llama"))
    monkeypatch.setattr(rms_norm, "computed", lambda rows, *rest, **more: rms_norm.plain(rows, *rest, **more) * 1.05)
    value, reason = choosing.choose(passes, torch.float32, WANTED)
    assert value == "linears, head_loss, rotary"
    assert "rms_norm would give this model other numbers" in reason

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel for this shape")

    monkeypatch.setattr(rms_norm, "computed", broken)
    assert choosing.choose(passes, torch.float32, WANTED)[0] == "linears, head_loss, rotary"


def test_none_are_on_where_they_are_not_wanted_or_not_known() -> None:
    passes = passes_of(made("llama"))
    assert choosing.choose(passes, torch.float32, (False, "because of this")) == ("none", "because of this")
    assert choosing.choose(passes, torch.float16, WANTED) == ("none", "not for float16")


@pytest.mark.parametrize("kind", list(rule.MEASURED))
def test_the_rule_goes_by_its_figures(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "kind", lambda *_: kind)
    figures = rule.MEASURED[kind]
    on, reason = rule.chosen(frozenset(figures), torch.float32, torch.device("cpu"))
    assert on == {name for name, speed in figures.items() if speed >= rule.least(name)}
    assert kind in reason
    assert all(f"{name} {speed:.2f}" in reason for name, speed in figures.items())
    assert rule.chosen(frozenset({"rms_norm"}), torch.float32, torch.device("cpu"))[0] <= {"rms_norm"}


def test_where_nobody_has_measured_only_the_oldest_one_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own products, as it was there."""
    monkeypatch.setattr(rule, "kind", lambda *_: "a processor of next year")
    passes = passes_of(made("llama"))
    value, reason = choosing.choose(passes, torch.float32, WANTED)
    assert (value, passes.kernels.onednn) == ("linears", False)
    assert "none were timed on a processor of next year" in reason
    assert rule.chosen(frozenset(NAMES), torch.bfloat16, torch.device("cuda"))[0] == frozenset()


def test_a_trial_says_how_fast_each_one_is_and_where_the_rule_loses() -> None:
    passes = passes_of(made("llama"))
    names, like = choosing.possible(passes, torch.float32), next(passes.adapter.base.parameters())
    found = trial.speeds(passes.kernels, passes.head_layer, names, like=like)
    assert set(found) == {"head_loss", "linears", "rms_norm", "rotary"}
    assert all(speed > 0 for speed in found.values())
    assert rule.loses({"rms_norm"}, {"rms_norm": 0.8, "rotary": 0.1}) == ["rms_norm"]
    assert rule.loses({"rms_norm"}, {"rms_norm": 1.2}) == []


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the doctor tries them where training is on the CPU")
def test_doctor_tries_them_and_warns_where_the_rule_loses(
    home: Path, all_are_faster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line() -> Any:
        (found,) = [line for line in snb.doctor().lines if line.name == "training kernels"]
        return found

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert all(f"{name} " in line().found for name in HAD)
    assert torch.equal(torch.rand(3), expected), "the trial drew from the user's generator"
    monkeypatch.setattr(trial, "_ratio", lambda name, *_: 0.5 if name == "rotary" else 2.0)
    assert line().status == "warn"
    assert line().found.startswith("linears 2.00, head_loss 2.00, rms_norm 2.00, rotary 0.50 times as fast")
    assert line().found.endswith("slower here is rotary")
    assert "accelerator='none'" in line().fix


# -- a resume ---------------------------------------------------------------------------------------------------------

LONG = {**OPTIONS, "max_steps": 4, "save_steps": 4, "lora_r": 4}
HAD = ["head_loss", "linears", "rms_norm", "rotary"]


def fresh(folder: Path) -> Any:
    return snb.load(str(folder), dtype="float32", max_length=256)


def half(folder: Path) -> Any:
    """Train two of four steps."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        part = fresh(folder).train(chats(), background=True, **LONG).wait(timeout=120)
    assert part.step == 2
    return snb.runs.load(part.id)


def test_a_resume_computes_as_its_run_did(
    home: Path, byte_model_dir: Path, all_are_faster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the rule says by then: of another version, or on another machine."""
    whole = fresh(byte_model_dir).train(chats(), background=False, **LONG)
    assert whole.state.record["actual_setup"]["kernels"] == HAD
    assert whole.state.record["decisions"]["kernels"][0] == "linears, head_loss, rms_norm, rotary"
    again = half(byte_model_dir)
    monkeypatch.setattr(rule, "chosen", lambda *_: (frozenset(), "none is faster"))
    again.resume().wait(timeout=120)
    assert again.state.record["actual_setup"]["kernels"] == HAD
    assert not [warning for warning in again.state.warnings if warning["code"] == "other-kernels"]
    assert again.losses() == whole.losses()
    assert again.checkpoint_at().manifest["trained_sha256"] == whole.checkpoint_at().manifest["trained_sha256"]
    plain = fresh(byte_model_dir).train(chats(), background=False, **LONG)
    assert plain.state.record["actual_setup"]["kernels"] == []
    assert plain.losses() == pytest.approx(whole.losses(), abs=1e-5)


def test_a_resume_takes_the_products_of_its_run(
    home: Path, byte_model_dir: Path, all_are_faster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "takes_onednn", lambda *_: False)
    whole = fresh(byte_model_dir).train(chats(), background=False, **LONG)
    again = half(byte_model_dir)
    monkeypatch.setattr(rule, "takes_onednn", lambda *_: not onednn_linear.refused(torch.float32))
    again.resume().wait(timeout=120)
    assert again.state.record["actual_setup"]["products_by"] == "torch"
    assert again.losses() == whole.losses()


def test_a_resume_takes_onednn_where_nobody_has_timed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor of another kind than the run's: the rule would take torch's products there, the run had oneDNN's."""
    monkeypatch.setattr(rule, "kind", lambda *_: "a processor of next year")
    passes = passes_of(made("llama"))
    assert not passes.kernels.onednn
    assert choosing.resume(passes, torch.float32, {"on": ["linears"], "onednn": True}) == ""
    assert choosing.recorded(passes.kernels) == {"on": ["linears"], "onednn": True}


def test_a_resume_says_what_it_cannot_compute_as_its_run_did(
    home: Path, byte_model_dir: Path, all_are_faster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine or a torch without oneDNN's products, and a kernel that a version no longer has."""
    recorded = choosing.recorded
    monkeypatch.setattr(
        choosing, "recorded", lambda kernels: {"on": [*recorded(kernels)["on"], "gone"], "onednn": True}
    )
    again = half(byte_model_dir)
    monkeypatch.setattr(onednn_linear, "refused", lambda *_: "this torch was built without oneDNN")
    again.resume().wait(timeout=120)
    assert again.status == "succeeded"
    (warning,) = [warning for warning in again.state.warnings if warning["code"] == "other-kernels"]
    assert "gone does not fit this model here" in warning["what"]
    assert "products are torch's, because this torch was built without oneDNN" in warning["what"]
    assert again.state.record["actual_setup"]["kernels"] == HAD
    assert again.state.record["actual_setup"]["products_by"] == "torch"
