"""REINFORCE++: rewards against the mean of the whole batch, so that one answer a prompt is enough."""

from __future__ import annotations

from shadownb.engine.methods import grpo

SPEC = grpo.SPEC.replace(
    name="reinforce_pp",
    title="REINFORCE++",
    hint="As GRPO, against the mean of the whole batch: more prompts a step, with as few as one answer each.",
    defaults=(
        *grpo.SPEC.defaults,
        ("advantage_estimator", "reinforce_pp"),
        ("scale_rewards", "batch"),
        ("kl_in", "reward"),
    ),
    when_not=(
        "Prompts differ much in how hard they are: an easy one's worst answer then looks better than a hard one's best. `grpo` "
        "compares within each prompt.",
        *grpo.SPEC.when_not[:2],
    ),
)
