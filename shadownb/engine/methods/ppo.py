"""PPO: the model's own answers, each token against what a value head on the same model expected of it."""

from __future__ import annotations

from shadownb.engine.methods import grpo

SPEC = grpo.SPEC.replace(
    name="ppo",
    title="PPO",
    hint="As GRPO, but each token is compared with what a value head expected: for long answers and costly rewards.",
    data_shape="prompts with reward_fns",
    objective="ppo",
    when_not=(
        "Answers are short and cheap to score: `grpo` or `rloo` compare answers with each other and need no value head, which has "
        "to learn what rewards are before it helps. Look at `explained_variance`: at or below 0 the head tells nothing.",
        "A few dozen steps are all there is: the head is trained alone for the first `critic_warmup` batches.",
        *grpo.SPEC.when_not[:2],
    ),
)
