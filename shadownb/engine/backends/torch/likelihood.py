"""How likely a model finds rows that it is not trained on: the loss of their marked tokens, or each of them.

On the rows of a task it says how well it is known, on unrelated text how much training made the model forget. What rows start with
in common is computed once where the model allows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine.backends.torch.attention import Packing, batch_layout, choose_packing, target_logits
from shadownb.engine.backends.torch.generation.borrowing import borrowed, own_side
from shadownb.engine.backends.torch.packed_batch import PackedBatch, pack
from shadownb.engine.inference.types import Use
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import split

if TYPE_CHECKING:
    from shadownb.engine.ports.loaded import Loaded

_PIECE_TOKENS = 2048
_MOST_MARKED = 512  # whose logits a pass keeps: of 150,000 tokens they take 307 MB
_AT_ONCE = 64  # tokens whose distributions are told together: of 150,000 tokens they take 77 MB


def mean_loss(model: Loaded, examples: Sequence[Example], use: Use) -> float:
    """Return the mean negative log-probability of the trained tokens, of which there is at least one, in nats."""
    total, count = 0.0, 0
    rows = [row for example in examples for row in example.rows]
    for logits, batch, _ in _passes(model, rows, use):
        total += float(cross_entropy(logits, batch.targets, reduction="sum"))
        count += batch.targets.numel()
    return total / count


def token_scores(model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
    """Return of each row's marked tokens the log-probability in nats, and whether it is the likeliest; see the port."""
    found: list[list[tuple[float, bool]]] = [[] for _ in rows]
    for logits, batch, members in _passes(model, rows, use, by_start=True):
        log_probs = (-cross_entropy(logits, batch.targets, reduction="none")).tolist()
        likeliest = (logits.argmax(-1) == batch.targets).tolist()
        for owner, log_prob, is_so in zip(batch.owners.tolist(), log_probs, likeliest, strict=True):
            found[members[owner]].append((log_prob, is_so))
    return found


def values(model: Loaded, rows: Sequence[Rendered]) -> list[list[float]]:
    """Return what a reward model's head says where each row's marked tokens come next; see the port."""
    found: list[list[float]] = [[] for _ in rows]
    weights: Any = model.weights
    hidden: list[torch.Tensor] = []
    for _, batch, members in _passes(model, rows, "tuned", by_start=True, hidden=hidden):
        said = weights.adapter.score(hidden.pop()[0].float()).tolist()
        for owner, value in zip(batch.owners.tolist(), said, strict=True):
            found[members[owner]].append(value)
    return found


def distributions(model: Loaded, rows: Sequence[Rendered], use: Use) -> Iterator[tuple[int, list[int], Any]]:
    """Yield the log-probabilities of all tokens where a marked one comes next; see the port.

    Rows that are asked about together fill a pass. Between passes others may ask the model.
    """
    weights: Any = model.weights
    with model.gate.inference():
        packing = _packing_of(weights, use)
    for group in _following(rows, packing):
        for logits, batch, members in _passes(model, [rows[number] for number in group], use, packing=packing):
            owners = batch.owners
            for owner in sorted(range(len(members)), key=lambda owner: members[owner]):
                mine = (owners == owner).nonzero()[:, 0]
                for part in torch.split(mine, _AT_ONCE):
                    told = logits[part].double().log_softmax(-1).cpu().numpy()
                    yield group[members[owner]], batch.targets[part].tolist(), told


def _following(rows: Sequence[Rendered], packing: Packing) -> Iterator[list[int]]:
    """Yield the numbers of rows that have marked tokens, in order, so many at a time that a pass holds them and their logits."""
    group: list[int] = []
    tokens = marked = 0
    for number, row in enumerate(rows):
        if not row.predicted_tokens:
            continue
        tokens, marked = tokens + len(row.input_ids), marked + row.predicted_tokens
        if group and (packing.kind == "single" or tokens > _PIECE_TOKENS or marked > _MOST_MARKED):
            yield group
            group, tokens, marked = [], len(row.input_ids), row.predicted_tokens
        group.append(number)
    if group:
        yield group


def activations(model: Loaded, rows: Sequence[Rendered], use: Use) -> dict[str, Any]:
    """Return the mean square of each input of each linear layer; see the port."""
    weights: Any = model.weights
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def noting(name: str) -> Callable[[torch.nn.Module, tuple[Any, ...]], None]:
        def note(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            seen = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float()
            sums[name] = sums.get(name, 0) + seen.square().sum(0)
            counts[name] = counts.get(name, 0) + len(seen)

        return note

    with model.gate.inference():
        hooks = [
            module.register_forward_pre_hook(noting(_plain_name(name)))
            for name, module in weights.module.named_modules()
            if isinstance(module, torch.nn.Linear) and ".lora_" not in name
        ]
        try:
            view = weights.view(use)
            device = view.model.device
            with borrowed(view.model, own_side(use), view.switched_off), torch.no_grad():
                for row in rows:  # plainly: packing tries rows of its own first, which are none of these
                    view.model(input_ids=torch.tensor([row.input_ids], device=device), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
    return {name: (total / counts[name]).cpu().numpy() for name, total in sums.items()}


def _plain_name(name: str) -> str:
    """Return what a module is called where no adapter is on the model."""
    return name.removeprefix("base_model.model.").removesuffix(".base_layer")


def _passes(
    model: Loaded,
    rows: Sequence[Rendered],
    use: Use,
    *,
    by_start: bool = False,
    hidden: list[torch.Tensor] | None = None,
    packing: Packing | None = None,
) -> Iterator[tuple[torch.Tensor, PackedBatch, Sequence[int]]]:
    """Yield the logits of marked tokens, shape (N, vocabulary), of each pass, its batch and the numbers of its rows.

    ``hidden`` gets what the output embeddings were multiplied with, shape (1, N, width), at each pass. With ``by_start`` rows that
    start alike stand in one pass, as many as its tokens allow once those are counted once.
    """
    weights: Any = model.weights
    with model.gate.inference():
        view, adapter = weights.view(use), weights.adapter_of(use)
        base = _base_of(view)
        packing = packing or _packing_of(weights, use)
        limit = 0 if packing.kind == "single" else _PIECE_TOKENS
        with borrowed(view.model, own_side(use), view.switched_off), torch.no_grad(), _noting(base, hidden):
            shared = packing.shares_start and by_start
            for group in _alike(rows) if shared else split([(row,) for row in rows], limit, share=packing.shares_start):
                batch = pack([rows[number] for number in group], share=packing.shares_start, device=base.device)
                called, computed, inputs = view.model, batch, {"input_ids": batch.input_ids}
                if adapter is not None:
                    called, computed, inputs = adapter.feed(adapter.module, batch)
                with batch_layout(base, computed, packing) as layout:
                    logits = target_logits(called, computed, inputs, layout)
                yield logits, computed, group


def _packing_of(weights: Any, use: Use) -> Packing:
    """Return how rows are packed; whoever calls holds the gate."""
    adapter = weights.adapter_of(use)
    return choose_packing(_base_of(weights.view(use)), prefixed=adapter is not None and adapter.prefix() is not None)


def _base_of(view: Any) -> Any:
    return view.model.get_base_model() if hasattr(view.model, "get_base_model") else view.model


@contextlib.contextmanager
def _noting(base: Any, hidden: list[torch.Tensor] | None) -> Iterator[None]:
    """Have what the output embeddings get inside the block put into a list, where there is one."""
    if hidden is None:
        yield
        return
    hook = base.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    try:
        yield
    finally:
        hook.remove()


def _alike(rows: Sequence[Rendered]) -> Iterator[list[int]]:
    """Yield the numbers of rows that follow each other in the order of their tokens, so many that their trees fit into a pass."""
    order = sorted(range(len(rows)), key=lambda number: rows[number].input_ids)
    group: list[int] = []
    size = 0
    for number in order:
        ids = rows[number].input_ids
        common = 0
        if group:
            before = rows[group[-1]].input_ids
            common = next(
                (n for n, (a, b) in enumerate(zip(ids, before, strict=False)) if a != b), min(len(ids), len(before))
            )
        if group and size + len(ids) - common > _PIECE_TOKENS:
            yield group
            group, size, common = [], 0, 0
        group.append(number)
        size += len(ids) - common
    if group:
        yield group
