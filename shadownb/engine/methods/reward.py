"""Reward model: a number for an answer, learned from pairs, or for each of its steps; a scorer, and no model of texts."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="reward",
    title="Reward model",
    group="preference",
    hint="Learns what people prefer as a number: for scoring answers, choosing the best of several, and as a reward in training.",
    data_shape="preference pairs (prompt, chosen, rejected), or steps with verdicts (prompt, completions, labels)",
    data_formats=("preference", "stepwise"),
    default_learning_rate=2e-4,
    rate_source="twice trl's default for reward models, for runs of tens to hundreds of steps",
    adapter="reward",
    objective="reward",
    fields=("lora_r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora"),
    when_not=(
        "A program can tell a good answer from a bad one: give that as `reward_fns`. It cannot be talked into anything, and costs "
        "nothing.",
        "You want the model itself to prefer the better answers: `dpo` learns that from the same pairs, in one run.",
        "There are a few dozen pairs: it then knows their words rather than what is better about them. Look at the accuracy on "
        "pairs that were held out (`eval_dataset`).",
        "The answers that it will score are much better, longer or otherwise unlike those of the pairs: what it says of them "
        "is a guess, and training against it finds such answers.",
    ),
)
