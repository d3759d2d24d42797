"""Will it fit, and how long will it take: an estimate line by line, before anything starts.

Weights, adapters, gradients and optimizer state are counted exactly. Activations follow from the shapes of a Llama-like
block and the model's number format, for the largest of the steps that are drawn from the rows; time from a matrix product
measured on this machine, the share of it that training with plain operations reaches, and how many times as fast the backend's
own kernels are, without evaluations and samples. A run's record keeps the estimate beside the measured peak.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

from shadownb.engine import live, objectives, opening
from shadownb.engine.config import TrainConfig
from shadownb.engine.objectives import examples
from shadownb.engine.rendering.fit import Fit
from shadownb.engine.rendering.packing import best_fit, common_start
from shadownb.errors import DataError, MethodError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.backend_facts import Costs
    from shadownb.engine.ports.reach import Reach
    from shadownb.engine.rendering.examples import Example

_FLOAT = 4
IN_USE_ALREADY = ("weights", "this process besides the weights")
_SPREAD = 0.25  # of what is not counted exactly, to both sides
# On a CPU, bytes that no other line has: what libraries load and compile for the first step, and freed blocks between those in
# use. 100 to 190 MB were seen with SmolLM2-135M, whatever the method and the number format (benchmarks/estimates.py).
_UNSEEN = 150e6
# Share of the matmul peak that training reaches with plain operations; own kernels make it 0.92 on AVX-512 in fp32, where
# benchmarks/sft.py saw 0.98, and 0.64 on AVX2.
_EFFICIENCY = 0.6
_STEP_SECONDS, _BLOCK_SECONDS = 0.05, 0.004  # of a step, beside its products: bookkeeping, optimizer, small operations
_SAMPLE_ROWS = 200  # rows tokenised to know lengths
_PACKED_EXAMPLES = 1000  # packed to know how many fit together
_DRAWN_STEPS = 200  # of which the largest is taken; the peak of a run is that of its longest rows, not of the mean


@dataclass(frozen=True)
class Estimate:
    """Memory in units of 1e9 bytes, time in seconds; ``lines`` add up to ``expected_gb``.

    ``items`` is what an epoch goes through: rows, or what they give (a long document several windows, a pair two answers
    for KTO), or packs of those; ``counted`` says whether that is exact or follows from a sample. ``template`` says
    what the chat template refuses or leaves out of the rows looked at. Only :func:`estimate` knows these. ``reach`` is what
    is trained of the model and what stays frozen.
    """

    lines: tuple[tuple[str, float], ...]
    low_gb: float
    expected_gb: float
    high_gb: float
    available_gb: float
    seconds: float | None
    fits: bool
    reason: str
    items: int | None = None
    counted: bool = False
    template: tuple[str, ...] = ()
    reach: Reach | None = None

    def __str__(self) -> str:
        time = "" if self.seconds is None else f", about {live.duration(self.seconds)}"
        parts = [f"{self.reason}{time}", str(self.reach or ""), *self.template]
        return "\n".join(part for part in parts if part)


def estimate(
    model: LoadedModel, config: TrainConfig, dataset: Dataset, *, rows: int | None = None, from_base: bool = False
) -> Estimate:
    """Estimate the peak memory and the time of training ``model`` on ``dataset``, and how much it has to go through.

    Parameters
    ----------
    rows
        How many of the usable rows are trained on, where some are held back to evaluate; None is all.
    from_base
        Whether it starts from the fresh base, whatever the model carries now.
    """
    if config.spec.guest:
        raise MethodError(
            f"The memory that method={config.method!r} needs is not estimated.",
            why=f"Its loop is {config.spec.guest}'s, which computes rows in another way.",
            fix="Try it for a few steps: max_steps=3, then run.state.last['peak_memory_gb'].",
        )
    usable = dataset.keeping(objectives.get(config.spec.objective).reads(config)).canonical_rows()
    total = len(usable) if rows is None else rows
    sample = usable[:_SAMPLE_ROWS]
    fit = Fit()
    given = [_useful(model, config, row, fit) for row in sample]
    rendered = [example for found in given for example in found]
    count = round(total * len(rendered) / len(sample))
    items = max(1, math.ceil(count / _examples_per_item(model, config, rendered, count)))
    # Rows that all give as many examples do so beyond the sample as well; lengths, and so packs and windows, differ.
    kind = objectives.get(config.spec.objective)
    rendered = list(kind(config, _length(model, config)).expected(rendered))
    steady = len({len(found) for found in given}) == 1 and not config.packing
    steady = steady and config.spec.long_rows == "cut"
    found = estimate_from(model, config, rendered, config.resolved_total_steps(items), count=count, from_base=from_base)
    counted = steady or len(sample) == len(usable) == total
    return replace(found, items=items, counted=counted, template=tuple(fit.words()))


def _useful(model: LoadedModel, config: TrainConfig, row: dict[str, Any], fit: Fit) -> list[Example]:
    spec = config.spec
    options: Any = {"objective": spec.objective, "loss_on": config.loss_on, "long_rows": spec.long_rows}
    try:
        renderer = model.renderer.under(config.on_template_drop)
        found = examples(renderer, row, max_length=_length(model, config), **options)
    except DataError as error:  # the template refuses it, so training leaves it out
        fit.refuse(error)
        return []
    fit.add(found)
    return [example for example in found if example.trains]


def _length(model: LoadedModel, config: TrainConfig) -> int:
    return model.lengths.longest_row(config.max_length, config)


def _examples_per_item(model: LoadedModel, config: TrainConfig, rendered: Sequence[Example], count: int) -> float:
    """Return how many of ``count`` examples make one of a step's items: more than one where they are packed."""
    if not config.packing or not rendered:
        return 1.0
    lengths = [sum(len(row.input_ids) for row in example.rows) for example in rendered[:_PACKED_EXAMPLES]]
    # A small sample leaves its last pack half empty, which many rows do not.
    lengths *= max(1, min(count, _PACKED_EXAMPLES) // len(lengths))
    return len(lengths) / len(best_fit(lengths, _length(model, config)))


def estimate_from(
    model: LoadedModel,
    config: TrainConfig,
    rendered: Sequence[Example],
    steps: int,
    *,
    count: int | None = None,
    from_base: bool = False,
) -> Estimate:
    """Estimate from rendered examples (a sample is enough), the number of optimizer steps and that of all examples."""
    spec = config.spec
    costs = model.backend.costs(model, config, from_base=from_base)
    step_rows = config.rows_per_step * _examples_per_item(model, config, rendered, len(rendered))
    computed = _row_length(config, rendered[:_SAMPLE_ROWS], step_rows)
    piece, trained_in_piece = _largest_pass(config, rendered[:_SAMPLE_ROWS], round(step_rows), steps)
    weights, trainable = model.weights.base_bytes, costs.trainable
    there = trainable * _FLOAT if model.weights.kind == spec.adapter and not spec.changes_base_weights else 0
    here = max(0.0, _held_besides(model, weights) - there)  # an adapter that is on already has a line of its own
    checkpointing = config.gradient_checkpointing == "on"
    kept = costs.kept_per_token
    blocks = costs.layers * costs.hidden + kept if checkpointing else costs.layers * kept
    activations = (piece * blocks + costs.kept_fixed) * costs.kept_bytes
    logits = _logits(model, costs, trained_in_piece)
    overhead = 0.0 if model.device.type == "cuda" else _UNSEEN
    copied = spec.changes_base_weights and model.dtype_name != "float32"
    # Gradients of whole weights come as the activations go: with long rows, when the first is there, none of the others is.
    own = trainable * _FLOAT if not spec.changes_base_weights else max(0.0, trainable * _FLOAT - activations - logits)
    lines = (
        ("weights", weights / 1e9),
        ("this process besides the weights", here / 1e9),
        ("trained weights" if not spec.changes_base_weights else "gradients beyond activations", own / 1e9),
        (
            "gradients and optimizer" if not spec.changes_base_weights else "optimizer",
            (3 if not spec.changes_base_weights else 2) * trainable * _FLOAT / 1e9,
        ),
        *((("32-bit copies of the weights", trainable * _FLOAT / 1e9),) if copied else ()),
        ("activations", activations / 1e9),
        ("logits of trained tokens", logits / 1e9),
        *((("libraries and allocator", overhead / 1e9),) if overhead else ()),
    )
    expected = sum(gb for _, gb in lines)
    uncertain = _SPREAD * (activations + logits) / 1e9
    available = opening.free_memory_gb(model) + (weights + here) / 1e9
    fits = expected <= available
    reason = (
        f"about {expected:.1f} of {available:.1f} GB"
        if fits
        else f"needs about {expected:.1f} GB, {available:.1f} GB are there"
    )
    seen = steps * step_rows
    distinct = min(seen, len(rendered) if count is None else count)
    looked_at = objectives.get(spec.objective).looked_at(seen, distinct)
    seconds = _seconds(model, costs, seen * computed, looked_at * computed, full=spec.changes_base_weights)
    if seconds is not None:
        seconds += steps * (_STEP_SECONDS + _BLOCK_SECONDS * costs.layers)
    low, high = expected - uncertain, expected + uncertain
    return Estimate(lines, low, expected, high, available, seconds, fits, reason, reach=costs.reach)


def _row_length(config: TrainConfig, rendered: Sequence[Example], step_rows: float) -> float:
    """Return the mean of the tokens that are computed of an example, when a common start stands once a step."""
    count = max(1, len(rendered))
    tokens = sum(len(row.input_ids) for example in rendered for row in example.rows) / count
    if config.lora_dropout > 0:
        return tokens
    within = sum((len(e.rows) - 1) * common_start(e.rows) for e in rendered) / count  # the prompt of a pair
    shared = common_start([example.rows[0] for example in rendered])
    return tokens - within - shared * (1 - 1 / step_rows)


def _largest_pass(config: TrainConfig, rendered: Sequence[Example], step_rows: int, steps: int) -> tuple[float, float]:
    """Return (tokens computed, tokens trained) of the largest forward pass in steps drawn from the rows.

    A step's rows go through the model together, as far as ``max_tokens_per_forward`` allows; one row is never divided.
    """
    if not rendered:
        return 0.0, 0.0
    shared = common_start([example.rows[0] for example in rendered]) if config.lora_dropout == 0 else 0
    sizes = []
    for example in rendered:
        within = (len(example.rows) - 1) * common_start(example.rows) if config.lora_dropout == 0 else 0
        tokens = sum(len(row.input_ids) for row in example.rows) - within
        sizes.append((tokens - shared, sum(row.trained_tokens for row in example.rows)))
    most = max(config.max_tokens_per_forward - shared, *(tokens for tokens, _ in sizes))
    draw, largest = random.Random(0), (0.0, 0.0)
    for _ in range(min(steps, _DRAWN_STEPS)):
        picked = [draw.choice(sizes) for _ in range(max(1, step_rows))]
        tokens, trained = (sum(each[place] for each in picked) for place in (0, 1))
        share = min(1.0, most / max(1, tokens))
        largest = max(largest, (tokens * share + shared, trained * share))
    return largest


def _logits(model: LoadedModel, costs: Costs, trained: float) -> float:
    """Return the bytes of logits that stand at the peak of a pass with so many trained tokens."""
    ours = model.accelerator != "none"
    at_once = min(costs.logits_at_once, trained) if ours and costs.logits_at_once is not None else trained
    copies = costs.logits_copies if ours and costs.logits_copies is not None else _copies_of_logits(model)
    return copies * at_once * costs.vocabulary * _FLOAT


def _copies_of_logits(model: LoadedModel) -> int:
    """Return how many 32-bit copies of the trained tokens' logits stand at the peak with plain operations.

    Logits, their softmax and its gradient; on a CPU two more for the products with the head, and one for 16 bits. Seen with cpt,
    whose every token is trained: 6.05 GB in fp32 and 5.59 in bf16, of which 0.40 GB are one copy.
    """
    if model.device.type == "cuda":
        return 3
    return 5 if model.dtype_name == "float32" else 6


def _held_besides(model: LoadedModel, weights: int) -> float:
    """Return what this process holds besides the weights, in bytes: what nobody uses any more is given back first.

    Freed memory that the allocator kept would be counted here and once more where the training fills it again.
    """
    if model.device.type == "cuda":
        return 0.0
    if model.active_run is None:
        model.backend.empty_cache()
    in_memory = weights - model.weights.unread_bytes
    return max(0.0, psutil.Process().memory_info().rss - in_memory)


def _seconds(model: LoadedModel, costs: Costs, tokens: float, looked_at: float, *, full: bool) -> float | None:
    """Return the seconds that training on tokens and looking at others take, None where that was never measured."""
    if model.device.type != "cpu" or model.quantization:
        return None
    blocks = costs.computed - costs.vocabulary * costs.hidden
    # Operations a weight and token: 2 forward, 2 back to the inputs, 2 to the gradient of a weight that is trained.
    share = _EFFICIENCY * (costs.speedup if model.accelerator != "none" else 1.0)
    return (tokens * (6 if full else 4) + looked_at * 2) * blocks / (share * model.backend.flops(model.dtype_name))


def as_dict(found: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON-compatible values for a run's record."""
    return {
        "lines": [list(line) for line in found.lines],
        "low_gb": round(found.low_gb, 3),
        "expected_gb": round(found.expected_gb, 3),
        "high_gb": round(found.high_gb, 3),
        "seconds": None if found.seconds is None else round(found.seconds, 1),
    }
