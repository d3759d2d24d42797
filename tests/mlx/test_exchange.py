"""What one backend trains the other loads, and so do peft, transformers and mlx-lm; and both train alike."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.mlx import borrowed, worker
from shadownb.errors import ExportError, ModelError
from tests.engine.methods_data import OPTIONS, PROMPT, Case, chats, logits, mlx_logits, pairs, verdicts
from tests.tiny_models import biased

# What changes the answers a lot in four steps, of each kind that both backends have.
EXCHANGED = {
    "lora": Case("lora", {"lora_r": 4, "use_rslora": True, "learning_rate": 1e-2}),
    "dora": Case("dora", {"lora_r": 4, "learning_rate": 1e-2}),
    "adapter": Case("adapter", {"lora_r": 4, "learning_rate": 1e-2}),
    "bitfit": Case("bitfit", {"learning_rate": 1e-2}, base="biased"),
    "full": Case("full", {"learning_rate": 1e-3}),
}
BACKENDS = ("torch", "mlx")


@dataclass
class Trained:
    """The same training on both backends."""

    name: str
    base: Path
    models: dict[str, Any]
    runs: dict[str, Any]

    def on(self, backend: str, **options: Any) -> Any:
        """Load the base with a backend."""
        return snb.load(str(self.base), backend=backend, dtype="float32", max_length=256, **options)


@pytest.fixture(scope="module", params=list(EXCHANGED))
def trained(
    request: pytest.FixtureRequest, home: Path, byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    case = EXCHANGED[request.param]
    base = biased(byte_model_dir) if case.base == "biased" else byte_model_dir
    if request.param == "full":
        base = without_padding(base, tmp_path_factory.mktemp("no-pad") / "base")
    found = Trained(request.param, base, {}, {})
    for backend in BACKENDS:
        found.models[backend] = found.on(backend)
        found.runs[backend] = case.train(found.models[backend])
        assert found.runs[backend].status == "succeeded", found.runs[backend].error
    return found


def without_padding(base: Path, folder: Path) -> Path:
    """Write a base whose config names no token for padding.

    torch's embeddings give that token no gradient where it comes in, and here it is the one that ends a turn.
    """
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}), encoding="utf-8")
    return folder


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=0)


def test_losses_and_norms_are_those_of_the_other(trained: Trained) -> None:
    """Prompts and trained tokens are rendered by one renderer; a LoRA starts with the same numbers."""
    torch_run, mlx_run = trained.runs["torch"], trained.runs["mlx"]
    assert mlx_run.losses()[0] == pytest.approx(torch_run.losses()[0], abs=1e-4)
    assert [m["tokens"] for m in mlx_run.metrics] == [m["tokens"] for m in torch_run.metrics]
    if trained.name != "adapter":  # whose first numbers are each framework's own
        assert mlx_run.losses() == pytest.approx(torch_run.losses(), abs=2e-3)
        norms = [[m["grad_norm"] for m in run.metrics] for run in (mlx_run, torch_run)]
        assert norms[0][0] == pytest.approx(norms[1][0], rel=1e-3)


@pytest.mark.parametrize("there", BACKENDS)
def test_a_checkpoint_of_one_loads_on_the_other(trained: Trained, there: str) -> None:
    here = "mlx" if there == "torch" else "torch"
    other = trained.on(there)
    base = logits(other)
    other.load_adapter(trained.runs[here].checkpoint_at().path, None)
    close(logits(other), logits(trained.models[here]))
    assert (logits(other) - base).abs().max() > 0.05, "the adapter changes something"
    assert other.weights.kind == trained.models[here].weights.kind
    assert trained.models[here].loss(chats()) == pytest.approx(other.loss(chats()), abs=1e-3)


def test_what_is_merged_loads_in_transformers_and_mlx_lm(trained: Trained, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = trained.models["mlx"]
    if trained.name == "adapter":
        with pytest.raises(ExportError, match="no part of the base's weights"):
            model.save(tmp_path / "whole", fmt="merged")
        return
    whole = model.save(tmp_path / "whole", fmt="merged")
    ids = model.renderer.render_prompt([{"role": "user", "content": PROMPT}])
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)(torch.tensor([ids])).logits[0]
    close(theirs, logits(model))
    close(in_mlx_lm(whole, ids), logits(model))


def in_mlx_lm(folder: Path, ids: list[int], adapter: Path | None = None) -> torch.Tensor:
    """Logits of a row by mlx-lm alone."""
    import mlx.core as mx
    from mlx_lm.tuner.utils import load_adapters

    def computed() -> Any:
        module: Any = borrowed.load_model(folder)[0]
        if adapter is not None:
            load_adapters(module, str(adapter))
        return module(mx.array([ids]))[0].tolist()

    return torch.tensor(worker.run(computed))


def test_an_adapter_loads_in_peft(trained: Trained, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if trained.name not in ("lora", "dora"):
        pytest.skip("peft has no such adapter")
    model = trained.models["mlx"]
    saved = model.save(tmp_path / "adapter")
    ids = torch.tensor([model.renderer.render_prompt([{"role": "user", "content": PROMPT}])])
    base = AutoModelForCausalLM.from_pretrained(trained.base, dtype=torch.float32)
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(base, str(saved)).eval()(ids).logits[0]
    close(theirs, logits(model))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_adapter_loads_in_mlx_lm_and_comes_back_from_there(trained: Trained, backend: str, tmp_path: Path) -> None:
    """Rank, scale (rank-stabilised here) and layers are stored and taken, not guessed."""
    model = trained.models[backend]
    if trained.name not in ("lora", "dora"):
        with pytest.raises(ExportError, match="LoRA and DoRA"):
            model.save(tmp_path / "adapter", fmt="mlx")
        return
    saved = model.save(tmp_path / "adapter", fmt="mlx")
    ids = model.renderer.render_prompt([{"role": "user", "content": PROMPT}])
    close(in_mlx_lm(trained.base, ids, saved), logits(model))
    close(logits(trained.on("mlx", adapter=saved)), logits(model))
    close(logits(snb.load(str(saved), backend="mlx", dtype="float32")), logits(model))
    config = saved / "adapter_config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    del content["lora_parameters"]["scale"]
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="does not say scale"):
        trained.on("mlx", adapter=saved)


@pytest.mark.parametrize(("method", "rows"), [("dpo", pairs), ("kto", verdicts)])
def test_preferences_are_learned_alike(byte_model_dir: Path, method: str, rows: Any) -> None:
    seen = []
    for backend in BACKENDS:
        model = snb.load(str(byte_model_dir), backend=backend, dtype="float32", max_length=256)
        run = model.train(rows(), method=method, background=False, **{**OPTIONS, "max_steps": 3, "lora_r": 4})
        assert run.status == "succeeded", run.error
        seen.append([(m["loss"], m["grad_norm"], m["rewards_margin"]) for m in run.metrics])
    for mine, theirs in zip(*seen, strict=True):
        assert mine[0] == pytest.approx(theirs[0], abs=1e-4) and mine[1] == pytest.approx(theirs[1], rel=1e-3)
        assert mine[2] == pytest.approx(theirs[2], abs=1e-3)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_repo_is_trained_and_merged_without_rounding_the_adapter_away(
    byte_model_dir: Path, tmp_path: Path, bits: int
) -> None:
    """A merged model answers as base and adapter did: it holds 32 bits, not the base's."""
    from mlx_lm import convert

    repo = tmp_path / "repo"
    with contextlib.redirect_stdout(None):
        worker.run(lambda: convert(str(byte_model_dir), str(repo), quantize=True, q_bits=bits, q_group_size=32))
    model = snb.load(str(repo), backend="mlx", dtype="float32", max_length=256)
    assert model.quantization == f"{bits}bit" and model.blocked("full") and model.blocked("qlora") is None
    before = logits(model)
    run = model.train(chats(), method="qlora", background=False, **{**OPTIONS, "lora_r": 4, "learning_rate": 1e-2})
    assert run.status == "succeeded", run.error
    assert model.verify_base()[0] and (logits(model) - before).abs().max() > 0.05
    ids = model.renderer.render_prompt([{"role": "user", "content": PROMPT}])
    whole = model.save(tmp_path / "whole", fmt="merged")
    close(in_mlx_lm(whole, ids), mlx_logits(model, ids))
    close(logits(snb.load(str(whole), backend="torch", dtype="float32")), mlx_logits(model, ids))
    assert torch.equal(logits(snb.load(run.id)), logits(model)), "a run's id loads it as it was trained"
