"""RLOO: REINFORCE with the mean of the other answers as the baseline, and each answer's probability as a whole."""

from __future__ import annotations

from shadownb.engine.methods import grpo

SPEC = grpo.SPEC.replace(
    name="rloo",
    title="RLOO",
    hint="As GRPO, against the mean of the other answers, unscaled, with each answer taken as a whole.",
    defaults=(
        *grpo.SPEC.defaults,
        ("advantage_estimator", "rloo"),
        ("loss_type", "rloo"),
        ("scale_rewards", "none"),
        ("kl_in", "reward"),
    ),
    when_not=(
        "Answers are long: the ratio of a whole answer then moves far within one step, and `grpo` clips token by token.",
        "Rewards are of very different size from prompt to prompt: nothing divides by their spread here.",
        *grpo.SPEC.when_not[:2],
    ),
)
