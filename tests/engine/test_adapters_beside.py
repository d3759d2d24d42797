"""Adapters beside the trained state on torch: every kind beside another one, whatever is on the model left as it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb.engine.backends.torch.generation import resident
from shadownb.engine.inference import AdapterSource, Sampling
from shadownb.engine.models.adapters import weights_asked
from shadownb.engine.runs.loop import Loop
from shadownb.errors import ModelError, ShadowWarning
from tests.engine.methods_data import CASES, Case, base_shas, question, sha
from tests.tiny_models import byte_llama_of

ASKED = [question(3), question(9)]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 5, "logprobs": True}
MORE = {
    "lora biased": Case("lora", {"lora_r": 4}, base="biased"),
    "lora wide": Case("lora", {"lora_r": 16, "target_modules": "all-linear"}),
    "experts": Case("lora", {"lora_r": 4}, base="Qwen3Moe"),
    "other experts": Case("lora", {"lora_r": 2, "seed": 4}, base="Qwen3Moe"),
    "other experts bf16": Case("lora", {"lora_r": 2, "seed": 4}, base="Qwen3Moe", dtype="bfloat16"),
}
ALL = {**CASES, **MORE}
# Each kind answers beside another one of the same base.
BESIDE = [
    ("lora", "dora"), ("dora", "miss"), ("miss", "shira"), ("shira", "adapter"), ("adapter", "prompt"), ("prompt", "ptuning"),
    ("ptuning", "lora embeddings"), ("lora embeddings", "lora pissa"), ("lora pissa", "lora wide"), ("bitfit", "lora biased"),
    ("lora biased", "bitfit"), ("qlora", "qlora loftq"), ("experts", "other experts"), ("lora experts", "other experts bf16"),
]  # fmt: skip


@dataclass
class Trained:
    model: Any
    run: Any
    replies: list[Any]


@pytest.fixture(scope="module")
def trained(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Trains a case when it is first asked for, and keeps what it says."""
    known: dict[str, Trained] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))

        def made(name: str) -> Trained:
            if name not in known:
                model = ALL[name].load(byte_model_dir)
                run = ALL[name].train(model, learning_rate=2e-2)
                assert run.status == "succeeded", run.error
                known[name] = Trained(model, run, model.chat(ASKED, **GREEDY))
            return known[name]

        yield made


def same(found: list[Any], wanted: list[Any]) -> bool:
    return all(
        mine.token_ids == theirs.token_ids and mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
        for mine, theirs in zip(found, wanted, strict=True)
    )


def traces(model: Any) -> Any:
    """Return everything about the modules on a model that an answer could have changed."""
    module = model.module
    flags = {name: (p.requires_grad, p.data_ptr(), p.grad is None) for name, p in module.named_parameters()}
    kinds = {name: (type(each), each.training, len(each._forward_hooks)) for name, each in module.named_modules()}
    return flags, kinds, sha(model), base_shas(model)


@pytest.mark.parametrize(("host", "guest"), BESIDE, ids=lambda name: name.replace(" ", "-"))
def test_every_kind_answers_beside_another(trained: Any, host: str, guest: str) -> None:
    on, beside = trained(host), trained(guest)
    before = traces(on.model), on.model.chat(ASKED, use="base", **GREEDY)
    assert not same(beside.replies, on.replies), "nothing could be told apart"
    assert same(on.model.chat(ASKED, use=beside.run, **GREEDY), beside.replies)
    if ALL[host].dtype == "float32":  # in 16 bits the padding of a batch is seen in the rounding
        assert same(on.model.chat(ASKED, use=[beside.run, "tuned"], **GREEDY), [beside.replies[0], on.replies[1]])
    assert (traces(on.model), on.model.chat(ASKED, use="base", **GREEDY)) == before
    assert on.model.chat(ASKED, **GREEDY) == on.replies


@pytest.mark.parametrize(
    ("host", "guest", "options"),
    [
        ("lora", "dora", {}), ("lora", "adapter", {"gradient_checkpointing": "on"}), ("bitfit", "lora biased", {}),
        ("adapter", "prompt", {}), ("prompt", "lora wide", {}), ("lora embeddings", "lora pissa", {}),
        ("lora pissa", "lora embeddings", {}), ("qlora", "qlora loftq", {}), ("experts", "other experts", {}),
    ],
)  # fmt: skip
def test_training_goes_on_bit_for_bit(
    trained: Any,
    byte_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    guest: str,
    options: dict[str, Any],
) -> None:
    """Asked after each step, in dropout, with trained embeddings, with biases that the base has to be without."""
    wanted, beside = trained(host), trained(guest)
    model = ALL[host].load(byte_model_dir)
    report, seen = Loop.report, []

    def asking(loop: Loop, *args: Any) -> None:
        report(loop, *args)
        flags = {name: p.requires_grad for name, p in model.module.named_parameters()}
        seen.append(model.chat(ASKED, use=beside.run, **GREEDY))
        assert flags == {name: p.requires_grad for name, p in model.module.named_parameters()}

    monkeypatch.setattr(Loop, "report", asking)
    run = ALL[host].train(model, learning_rate=2e-2, **options)
    assert run.status == "succeeded", run.error
    assert len(seen) == 4 and all(same(replies, beside.replies) for replies in seen)
    if not options:
        assert [(m["loss"], m["grad_norm"]) for m in run.metrics] == [
            (m["loss"], m["grad_norm"]) for m in wanted.run.metrics
        ]
        assert sha(model) == sha(wanted.model)
    else:
        monkeypatch.setattr(Loop, "report", report)
        again = ALL[host].load(byte_model_dir)
        ALL[host].train(again, learning_rate=2e-2, **options)
        assert sha(again) == sha(model)


def test_a_live_training_of_whole_weights_goes_on_beside_a_refusal(
    trained: Any, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora, full = trained("lora"), trained("full")
    model = ALL["full"].load(byte_model_dir)
    assert same(model.chat(ASKED, use=lora.run, **GREEDY), lora.replies), "not trained yet"
    report, refused = Loop.report, []

    def asking(loop: Loop, *args: Any) -> None:
        report(loop, *args)
        with pytest.raises(ModelError, match="weights of this model itself were trained") as error:
            model.chat(ASKED, use=lora.run)
        refused.append(error)

    monkeypatch.setattr(Loop, "report", asking)
    run = ALL["full"].train(model, learning_rate=2e-2)
    assert len(refused) == 4 and run.losses() == full.run.losses() and sha(model) == sha(full.model)


def test_only_a_few_are_kept_and_none_is_mixed_up(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "MOST", 2)
    host = trained("lora").model
    host.free_adapters()
    for name in ("dora", "miss", "shira", "dora", "miss", "dora", "shira"):
        assert same(host.chat(ASKED, use=trained(name).run, **GREEDY), trained(name).replies)
        assert len(host.resident_adapters) <= 2
    # "miss" went, which was asked longest ago, though "dora" came before it.
    assert [adapter.name for adapter in host.resident_adapters] == [trained(name).run.id for name in ("dora", "shira")]
    one = [trained(name).run for name in ("miss", "dora")]
    assert same(host.chat(ASKED, use=one, **GREEDY), [trained("miss").replies[0], trained("dora").replies[1]])
    owned = sum(p.numel() * 4 for p in trained("dora").model.adapter.owned().values())
    assert host.resident_adapters[-1].bytes == owned, "the base is not counted"


def test_an_adapter_may_be_tensors(trained: Any) -> None:
    host, guest = trained("miss").model, trained("lora")
    folder = guest.run.checkpoint_at().path
    description = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    source = AdapterSource.of_tensors(tensors, description, run=guest.run.id, step=4)
    # Tensors have no rows that they were trained on, so the question is asked as the model is.
    assert same(host.chat(ASKED, use=source, **GREEDY), guest.replies)
    moved = {name: tensor * 2 for name, tensor in tensors.items()}
    other = AdapterSource.of_tensors(moved, description, run=guest.run.id, step=4)
    assert other != source and (other.id.run, other.id.step) == (source.id.run, source.id.step)
    assert not same(host.chat(ASKED, use=other, **GREEDY), guest.replies)
    assert (
        AdapterSource.of_tensors({n: t.clone() for n, t in tensors.items()}, description, run=guest.run.id, step=4)
        == source
    )


def test_bottlenecks_may_be_tensors_too(trained: Any) -> None:
    host, guest = trained("lora").model, trained("adapter")
    folder = guest.run.checkpoint_at().path
    description = json.loads((folder / "bottleneck_config.json").read_text(encoding="utf-8"))
    source = AdapterSource.of_tensors(load_file(folder / "bottleneck.safetensors"), description)
    assert same(host.chat(ASKED, use=source, **GREEDY), guest.replies)


def test_it_is_asked_as_it_was_trained(trained: Any, byte_model_dir: Path) -> None:
    """With its own rows' system prompt and its own template, whatever the model on hand was trained on."""
    guest = trained("lora")
    bare = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    asked = [{"role": "user", "content": "Colour number 3?"}]
    alone = guest.model.chat(asked, **GREEDY)
    assert alone.usage["prompt_tokens"] > bare.chat(asked, **GREEDY).usage["prompt_tokens"]
    assert same([bare.chat(asked, use=guest.run, **GREEDY)], [alone])
    with pytest.warns(ShadowWarning, match="system"):
        without = bare.chat(asked, use=guest.run, system=None, **GREEDY)
    assert without.usage["prompt_tokens"] < alone.usage["prompt_tokens"]


def test_its_own_template_and_ends_hold(trained: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    guest = trained("lora")
    folder = guest.model.save(tmp_path / "adapter")
    other = (folder / "chat_template.jinja").read_text(encoding="utf-8").replace("<|im_start|>", "<|im_start|>The ")
    (folder / "chat_template.jinja").write_text(other, encoding="utf-8")
    alone = snb.load(str(byte_model_dir), adapter=folder, max_length=256, dtype="float32")
    host = trained("miss").model
    assert alone.chat(ASKED[0], **GREEDY).usage != guest.replies[0].usage
    assert same(host.chat(ASKED, use=folder, **GREEDY), alone.chat(ASKED, **GREEDY))
    assert host.renderer.chat_template != other


# -- where it cannot stand ----------------------------------------------------------------------------------------------


def test_whole_weights_are_refused_on_either_side(trained: Any, byte_model_dir: Path) -> None:
    lora, full = trained("lora"), trained("full")
    with pytest.raises(ModelError, match="is a whole model, not an adapter"):
        lora.model.chat(ASKED, use=full.run, **GREEDY)
    with pytest.raises(ModelError, match="weights of this model itself were trained") as refused:
        full.model.chat(ASKED, use=lora.run, **GREEDY)
    assert "Load the base again" in refused.value.as_text()
    model = ALL["lora"].load(byte_model_dir)
    assert same(model.chat(ASKED, use=lora.run, **GREEDY), lora.replies)
    ALL["full"].train(model, learning_rate=2e-2)
    with pytest.raises(ModelError, match="weights of this model itself were trained"):
        model.generate("Colour number 3?", use=lora.run)
    ALL["miss"].train(model, start="base")
    assert same(model.chat(ASKED, use=lora.run, **GREEDY), lora.replies), "the base is there again"


def test_another_base_is_refused(trained: Any, tmp_path: Path) -> None:
    lora = trained("lora")
    folder = byte_llama_of(tmp_path / "other", 32, 64)
    other = snb.load(str(folder), max_length=256, dtype="float32")
    with pytest.raises(ModelError, match="belongs to another base"):
        other.chat(ASKED, use=lora.run.checkpoints()[0])
    saved = lora.model.save(tmp_path / "adapter")
    with pytest.raises(ModelError, match="belongs to another base"):
        other.chat(ASKED, use=saved)
    (saved / "shadownb.json").unlink()  # nothing says so any more
    before = copy.deepcopy([p.detach() for p in other.module.parameters()])
    with pytest.raises(ModelError, match="cannot answer on this base"):
        other.chat(ASKED, use=saved)
    assert other.resident_adapters == [] and other.gate.holder is None
    assert all(torch.equal(p, q) for p, q in zip(other.module.parameters(), before, strict=True))
    assert other.chat(ASKED, **GREEDY)


def test_files_that_are_no_adapter_are_refused(trained: Any, tmp_path: Path) -> None:
    lora, host = trained("lora"), trained("miss").model
    saved = lora.model.save(tmp_path / "adapter")
    file = saved / "adapter_model.safetensors"
    whole = file.read_bytes()
    for content in (b"", b"no tensors", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ModelError, match="cannot answer on this base"):
            host.chat(ASKED, use=saved)
    file.unlink()
    with pytest.raises(ModelError, match="cannot answer on this base"):
        host.chat(ASKED, use=saved)
    assert host.gate.holder is None and host.chat(ASKED, **GREEDY) == trained("miss").replies


def test_an_adapter_that_peft_alone_wrote(trained: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    """Without a record of ours: it has no run, no template and no rows, and is asked by the base's own."""
    import peft
    from transformers import AutoModelForCausalLM

    made = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(byte_model_dir, dtype=torch.float32),
        peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    made.save_pretrained(tmp_path / "theirs")
    host = trained("lora").model
    alone = snb.load(str(byte_model_dir), adapter=tmp_path / "theirs", max_length=256, dtype="float32")
    asked = [{"role": "user", "content": "Colour number 3?"}]
    assert same([host.chat(asked, use=tmp_path / "theirs", **GREEDY)], [alone.chat(asked, **GREEDY)])
    found = weights_asked(tmp_path / "theirs", host)
    assert isinstance(found, AdapterSource) and (found.id.run, found.id.step) == (None, None)


def test_a_learned_prompt_takes_its_positions(trained: Any, tmp_path: Path, byte_model_dir: Path) -> None:
    prompt = trained("prompt")
    positions = prompt.model.weights.positions
    model = ALL["lora"].load(byte_model_dir)
    fits = [model.renderer.render_text("a")[0]] * (positions - 2)
    adapter, one = weights_asked(prompt.run, model), Sampling(max_new_tokens=1, temperature=0.0)
    model.generator.generate([fits], one, use="tuned")
    with pytest.raises(ModelError, match="more than the model can take"):
        model.generator.generate([fits], one, use=adapter)
