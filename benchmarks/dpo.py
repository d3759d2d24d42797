"""Preference training (DPO) with LoRA: ShadowNB beside trl's DPOTrainer + peft, on the same pairs, model and settings.

Run: ``python benchmarks/dpo.py [--rounds 3] [--steps 3]``

Each contender trains in a process of its own, in turn; ratios are per round. All start from the same adapter weights and
see the same tokens in the same order, four pairs an optimizer step, fp32, beta 0.1. The pairs come from the shipped task:
chosen is the right JSON, rejected the same with one field wrong. trl applies the chat template itself; its tokens must be
ours. It also trains the newline behind the stop token, which no answer needs: cut from its rows, so that both train the
same tokens. The first loss must be ln 2 and the curves must agree to 1e-4, or the comparison is void and says so.

trl computes the reference (the model without the adapter) in every step, ShadowNB once before the first, trl's
``precompute_ref_log_probs`` too. Its time is part of every rate and also stated apart. One epoch is compared: with more
epochs a reference that is computed once costs that much less. ``tokens/s`` counts the tokens of both answers with their
prompt, without padding, which is what trl computes; ShadowNB computes a prompt once a pair and a common start once a step.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from typing import Any

from _contenders import (
    Result,
    in_order,
    in_process,
    median,
    options_for,
    peak_memory_gb,
    print_curves,
    ratio,
    repeated,
    run_rounds,
    shadownb_settings,
    tell,
    train_shadownb,
    trl_settings,
    watch,
)

CONTENDERS = (
    "shadownb",
    "trl, its defaults",
    "trl, no checkpointing",
    "trl, no checkpointing, reference first",
)
PAIRS_PER_STEP = 4
RATE = 2e-4


def main() -> None:
    options = options_for(__doc__, steps=3, help="at least 2, the first is warm-up").parse_args()
    options.steps = max(2, options.steps)
    if options.contender:
        tell(run_contender(options.contender, options))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    steps = options.steps
    results = run_rounds(
        CONTENDERS,
        options.rounds,
        lambda name: in_process(__file__, ["--contender", name, *repeated(options)]),
        lambda result: f"{result['pairs_per_s']:.2f} pairs/s",
    )
    ours = results["shadownb"]
    first = ours[0]
    print(f"\n{first['pairs']} pairs of {first['mean_tokens']:.0f} tokens with both answers, {steps} steps")
    print(
        f"\n{'':40}{'pairs/s':>9}{'tokens/s':>10}{'reference':>13}{'all the rest':>14}{'peak memory':>13}{'ShadowNB is':>13}"
    )
    for name, theirs in results.items():
        reference, rest = median(theirs, "reference_s_per_pair"), median(theirs, "training_s_per_pair")
        memory = max(result["peak_memory_gb"] for result in theirs)
        print(
            f"{name:40}{median(theirs, 'pairs_per_s'):9.2f}{median(theirs, 'tokens_per_s'):10.1f}"
            f"{reference:7.3f} s/pair{rest:8.3f} s/pair{memory:10.2f} GB" + ratio(ours, theirs, "pairs_per_s")
        )
    print_curves(
        results, ("losses", "grad_norms", "margins"), "loss, grad norm, margin", allowed=options.allowed or 1e-4
    )
    starts = [abs(result["losses"][0] - math.log(2)) for theirs in results.values() for result in theirs]
    print(f"first loss: ln 2 to {max(starts):.1e}" + ("" if max(starts) < 1e-4 else "  NOT LN 2: VOID"))
    for name, theirs in results.items():
        if "same_tokens" in theirs[0]:
            same = all(result["same_tokens"] for result in theirs)
            print(f"tokens of {name}: " + ("equal to ShadowNB's" if same else "NOT SHADOWNB'S: VOID"))


def make_pairs(count: int) -> list[dict[str, Any]]:
    """Return preference rows from the shipped task: the rejected answer has one field of another row."""
    from shadownb import Dataset

    talks = [row["messages"] for row in Dataset.sample("support-triage").canonical_rows()]
    answers = [json.loads(talk[-1]["content"]) for talk in talks]
    pairs = []
    for number, (talk, answer) in enumerate(zip(talks[:count], answers, strict=False)):
        field = list(answer)[number % len(answer)]
        later = answers[number + 1 :] + answers[:number]
        wrong = {**answer, field: next(other[field] for other in later if other[field] != answer[field])}
        rejected = {"role": "assistant", "content": json.dumps(wrong)}
        pairs.append({"prompt": talk[:-1], "chosen": [talk[-1]], "rejected": [rejected]})
    return pairs


def run_contender(name: str, options: argparse.Namespace) -> Result:
    import shadownb as snb
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives import examples
    from shadownb.engine.runs.epochs import steps_of_epoch

    steps, device = options.steps, options.device
    model = snb.load(options.model, dtype="float32", device=device)
    config = TrainConfig(
        method="dpo", sft_weight=0.0, **shadownb_settings(rows_per_step=PAIRS_PER_STEP, steps=steps, rate=RATE)
    )
    pairs = make_pairs(steps * PAIRS_PER_STEP)
    found = [examples(model.renderer, pair, max_length=1024)[0] for pair in pairs]
    tokens = [sum(len(row.input_ids) for row in example.rows) for example in found]
    steps_of_rows = steps_of_epoch([[n] for n in range(len(tokens))], PAIRS_PER_STEP, config.seed, 0)
    order = [index for step in steps_of_rows for index in step]
    if name == "shadownb":
        result = train_ours(model, snb.Dataset.from_list(pairs), config, device)
    else:
        result = train_trl(model, config, [pairs[i] for i in order], [found[i] for i in order], name, device)
    counted = 1 - 1 / steps  # the first step is warm-up
    timed = sum(tokens[index] for index in order[PAIRS_PER_STEP:])
    seconds = result.pop("step_s") + result["reference_s"] * counted
    timed_pairs = (steps - 1) * PAIRS_PER_STEP
    inside = result.pop("reference_inside_s")
    return {
        **result,
        "pairs": len(pairs),
        "mean_tokens": sum(tokens) / len(tokens),
        "pairs_per_s": timed_pairs / seconds,
        "tokens_per_s": timed / seconds,
        "reference_s_per_pair": (result["reference_s"] * counted + inside) / timed_pairs,
        "training_s_per_pair": (seconds - result["reference_s"] * counted - inside) / timed_pairs,
    }


def train_ours(model: Any, dataset: Any, config: Any, device: str) -> Result:
    metrics, events = train_shadownb(model, dataset, config)
    # The reference is computed between the record of what will be trained and the first step.
    begun = next(e["time"] for e in events if e["type"] == "record")
    done = next(e["time"] for e in events if e["type"] == "phase" and e["name"] == "training")
    return {
        "losses": [m["loss"] for m in metrics],
        "grad_norms": [m["grad_norm"] for m in metrics],
        "margins": [m["rewards_margin"] for m in metrics],
        "step_s": metrics[-1]["elapsed_s"] - metrics[0]["elapsed_s"],
        "reference_s": done - begun,
        "reference_inside_s": 0.0,
        "peak_memory_gb": peak_memory_gb(device),
    }


def train_trl(model: Any, config: Any, pairs: list[dict[str, Any]], ours: list[Any], name: str, device: str) -> Result:
    import torch
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from shadownb.engine.backends.torch import adapters

    # A fresh adapter is made by trl itself, so that its reference is the base; then it gets ShadowNB's weights.
    adapter = adapters.prepare(model.module, None, config, adapters.Start("base"))
    peft_config = adapter.module.peft_config["default"]
    start = {name: parameter.detach().clone() for name, parameter in adapter.owned().items()}
    module = adapter.remove()
    clock = ReferenceClock()

    class Aligned(in_order(DPOTrainer)):  # type: ignore[misc]
        same_tokens = True

        def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Any:
            rows = list(super()._prepare_dataset(*args, **kwargs))
            for row, example in zip(rows, ours, strict=True):
                for side, rendered in zip(("chosen_ids", "rejected_ids"), example.rows, strict=True):
                    trained = [i for i, label in enumerate(rendered.labels) if label != -100]
                    begin = len(row["prompt_ids"])
                    same = row["prompt_ids"] + row[side] == list(rendered.input_ids)
                    self.same_tokens &= same and trained == list(range(begin, begin + len(trained)))
                    row[side] = row[side][: len(trained)]
            return Dataset.from_list(rows)

        def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return super()._precompute_ref_logps(*args, **kwargs)
            finally:
                clock.before = time.perf_counter() - begun

    watching = watch()
    with tempfile.TemporaryDirectory() as folder:
        settings = DPOConfig(
            **trl_settings(
                folder,
                rows_per_step=PAIRS_PER_STEP,
                steps=config.max_steps,
                rate=RATE,
                checkpointing="defaults" in name,
                device=device,
            ),
            beta=config.beta,
            precompute_ref_log_probs="reference first" in name,
        )
        trainer = Aligned(
            model=module,
            args=settings,
            train_dataset=Dataset.from_list(pairs),
            processing_class=model.tokenizer,
            peft_config=peft_config,
            callbacks=[watching],
        )
        theirs = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
        if theirs.keys() != start.keys():
            raise SystemExit("trl trains other parameters than ShadowNB")
        with torch.no_grad():
            for parameter, value in start.items():
                theirs[parameter].copy_(value)
        clock.attach(trainer.model, watching)
        trainer.train()
    return {
        "losses": [m["loss"] for m in watching.metrics],
        "grad_norms": [m["grad_norm"] for m in watching.metrics],
        "margins": [m["rewards/margins"] for m in watching.metrics],
        "step_s": watching.times[-1] - watching.times[0],
        "reference_s": clock.before,
        "reference_inside_s": clock.inside,
        "same_tokens": trainer.same_tokens,
        "peak_memory_gb": peak_memory_gb(device),
    }


class ReferenceClock:
    """Seconds that trl spends on the reference: ``before`` the first step, and ``inside`` the steps after the first.

    Inside a step the reference is every forward pass without gradients.
    """

    def __init__(self) -> None:
        self.before = 0.0
        self.inside = 0.0
        self._begun = 0.0

    def attach(self, module: Any, watching: Any) -> None:
        """Time a module's forward passes; ``watching`` tells when the first step is over."""
        import torch

        def begin(*_: Any) -> None:
            self._begun = time.perf_counter()

        def end(*_: Any) -> None:
            if not torch.is_grad_enabled() and watching.times:
                self.inside += time.perf_counter() - self._begun

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)


if __name__ == "__main__":
    main()
