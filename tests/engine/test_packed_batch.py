"""Packed batches give the loss and the gradients of plain rows, with and without a shared start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from shadownb.engine.backends.torch import adapters, attention, packed_batch, randomness
from shadownb.engine.config import TrainConfig
from shadownb.engine.rendering import Rendered, packing

pytestmark = pytest.mark.other_cpu


@pytest.fixture(scope="module")
def adapted(tiny_model_dir: Path) -> Any:
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    module = adapters.prepare(base, None, TrainConfig(lora_r=4), adapters.Start("tiny")).module
    draw = torch.Generator().manual_seed(1)
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=draw)
    return module


def make_rows(shared: int = 24, multi_turn: bool = True) -> list[Rendered]:
    start = list(range(100, 100 + shared))
    rows = []
    for index in range(6):
        own = [1000 + 17 * index + offset for offset in range(5 + 7 * index)]
        answer = [2000 + index, 2001 + index, 2]
        labels = [-100] * (shared + len(own)) + answer
        ids = start + own + answer
        if multi_turn and index % 2:
            ids, labels = [*ids, 1500, 1501, 1502, *answer], [*labels, -100, -100, -100, *answer]
        rows.append(Rendered(ids, labels))
    return rows


def plain(module: Any, rows: list[Rendered]) -> tuple[float, dict[str, torch.Tensor]]:
    module.zero_grad()
    total = 0.0
    for row in rows:
        ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
        logits = module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum")
        loss.backward()
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def packed(module: Any, rows: list[Rendered], *, share: bool, limit: int) -> tuple[float, dict[str, torch.Tensor], int]:
    module.zero_grad()
    base = module.get_base_model()
    total, computed = 0.0, 0
    for group in packing.split([(row,) for row in rows], limit, share=share):
        batch = packed_batch.pack([rows[number] for number in group], share=share)
        computed += batch.input_ids.shape[1]
        with attention.batch_layout(base, batch, attention.choose_packing(base)) as layout:
            logits = module(
                input_ids=batch.input_ids,
                logits_to_keep=batch.keep,
                use_cache=False,
                **layout,
            ).logits
            loss = torch.nn.functional.cross_entropy(logits[0], batch.targets, reduction="sum")
            loss.backward()
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}, computed


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("limit", [64, 4096])
def test_loss_and_gradients_equal_plain_rows(adapted: Any, share: bool, limit: int) -> None:
    rows = make_rows()
    loss, gradients = plain(adapted, rows)
    got, got_gradients, _ = packed(adapted, rows, share=share, limit=limit)
    assert got == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == got_gradients.keys()
    for name, gradient in gradients.items():
        # Sums in another order: compared with the size of the whole gradient, not of each element.
        off = (got_gradients[name] - gradient).norm() / gradient.norm().clamp_min(1e-6)
        assert off < 1e-4, name


def test_shared_start_is_computed_once(adapted: Any) -> None:
    rows = make_rows()
    together = sum(len(row.input_ids) - 1 for row in rows)  # a row's last token is a target alone
    assert packed(adapted, rows, share=False, limit=4096)[2] == together
    assert packed(adapted, rows, share=True, limit=4096)[2] == together - 5 * 24


def test_rows_that_branch_share_every_common_part(adapted: Any) -> None:
    """A system prompt for all, two questions, two answers to each: seven segments, each part computed once."""
    system, answer = list(range(100, 120)), [2]
    questions = [list(range(200, 230)), list(range(300, 330))]
    rows = [
        Rendered([*system, *question, 40 + n, 50 + n, *answer], [-100] * 51 + [50 + n, *answer])
        for question in questions
        for n in range(2)
    ]
    batch = packed_batch.pack(rows, share=True)
    assert batch.input_ids.shape[1] == 20 + 2 * 30 + 4 * 2
    assert len(batch.segments) == 7
    assert sorted(batch.owners.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    loss, gradients = plain(adapted, rows)
    got, got_gradients, _ = packed(adapted, rows, share=True, limit=4096)
    assert got == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert (got_gradients[name] - gradient).norm() / gradient.norm().clamp_min(1e-6) < 1e-4, name


def test_what_stands_behind_the_last_target_is_not_computed(adapted: Any) -> None:
    rows = [Rendered([*row.input_ids, *range(500, 520)], [*row.labels, *[-100] * 20]) for row in make_rows()]
    loss, gradients = plain(adapted, rows)
    for share, computed in ((False, sum(len(row.input_ids) - 21 for row in rows)), (True, None)):
        got, got_gradients, tokens = packed(adapted, rows, share=share, limit=4096)
        assert got == pytest.approx(loss, rel=1e-5)
        assert computed in (tokens, None)
        for name, gradient in gradients.items():
            assert (got_gradients[name] - gradient).norm() / gradient.norm().clamp_min(1e-6) < 1e-4, name
    none = packed_batch.pack([Rendered([1, 2, 3], [-100] * 3)], share=True)
    assert none.input_ids.tolist() == [[1, 2, 3]]
    assert len(none.targets) == 0


@pytest.mark.parametrize("learned", [0, 3])
@pytest.mark.parametrize("way", ["one behind the other", "a shared start", "one by one"])
def test_a_dropout_mask_is_that_of_whole_rows(monkeypatch: pytest.MonkeyPatch, way: str, learned: int) -> None:
    """What is not computed changes no number that is drawn for the rest, or a run of before would not be repeated."""

    def masked(rows: list[Rendered]) -> list[torch.Tensor]:
        batch = packed_batch.pack(rows, share=way == "a shared start")
        parts = batch.alone() if way == "one by one" else [batch]
        clock = randomness.DropoutClock(7)
        clock.begin(5, parts, learned)
        layer = randomness.RunDropout(0.5, "a layer", clock).train()
        masks = [layer(torch.ones(1, learned + part.input_ids.shape[1], 8))[0] for part in parts]
        spans = [(mask, part, segment) for mask, part in zip(masks, parts, strict=True) for segment in part.segments]
        return [*(mask[:learned] for mask in masks), *(mask[learned + s.start :][: s.length] for mask, _, s in spans)]

    rows = make_rows()
    cut = masked(rows)
    monkeypatch.setattr(packing, "_needed", lambda row: len(row.input_ids))
    whole = masked(rows)
    assert len(cut) == len(whole)
    assert sum(map(len, whole)) == sum(map(len, cut)) + len(rows)
    for found, wanted in zip(cut, whole, strict=True):
        assert torch.equal(found, wanted[: len(found)])
        assert 0.2 < float(found.bool().float().mean()) < 0.8 or len(found) < 5


def test_rows_of_a_bundle_stay_in_one_piece() -> None:
    bundles = [tuple(Rendered([n] * 30, [-100] * 29 + [n]) for _ in range(2)) for n in range(1, 6)]
    groups = packing.split(bundles, 100, share=False)
    assert sorted(number for group in groups for number in group) == list(range(5))
    assert all(len(group) == 1 for group in groups), "two bundles of 60 tokens do not fit into 100"


def test_rows_do_not_see_each_other(adapted: Any) -> None:
    rows = make_rows()
    alone = plain(adapted, rows[:1])[0]
    changed = [rows[0], Rendered([7] * 40, [-100] * 40)]
    assert packed(adapted, changed, share=False, limit=4096)[0] == pytest.approx(alone, rel=1e-5)


def test_a_trained_token_is_never_in_the_shared_start() -> None:
    rows = [Rendered([5] * 40, [-100] * 20 + [5] * 20) for _ in range(3)]
    assert packing.common_start(rows) == 19  # the 20th token predicts the first trained one
    everything = [Rendered([5] * 40, [5] * 40) for _ in range(3)]
    assert packing.common_start(everything) == 0


def test_attention_is_switched_back(adapted: Any) -> None:
    base = adapted.get_base_model()
    before = base.config._attn_implementation
    packed(adapted, make_rows(), share=True, limit=4096)
    assert base.config._attn_implementation == before


def test_packs_hold_every_row_once_within_the_capacity() -> None:
    lengths = [90, 10, 60, 40, 30, 70, 20]
    packs = packing.best_fit(lengths, 100)
    assert sorted(row for pack in packs for row in pack) == list(range(7))
    assert all(sum(lengths[row] for row in pack) <= 100 for pack in packs)
    assert len(packs) == 4
