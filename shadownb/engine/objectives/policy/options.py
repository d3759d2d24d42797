"""The options of policy gradients, under trl's names where trl has them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from shadownb.engine import registry
from shadownb.engine.config_options import option
from shadownb.engine.functions import name_of, of_a_cell
from shadownb.engine.objectives.policy.environment_options import EnvironmentOptions

_GROUP = "reward"


def _named(name: str) -> str:
    """Return a name as a record keeps it: of a scorer as it is, of a function of a cell with where that is."""
    name = name.strip()
    return name if ":" in name or registry.has("scorer", name) else of_a_cell(name) or name


class PolicyOptions(EnvironmentOptions):
    """What is chosen of GRPO, RLOO and REINFORCE++."""

    # -- what scores ----------------------------------------------------------------------------------------------

    reward_fns: tuple[str, ...] = option(
        (),
        "What scores the answers: names of registered scorers, functions fn(prompts, completions, **columns) that return a "
        "number an answer (in a file or a shell as module:function), or scorers.",
        _GROUP,
        functions="scorer",
    )
    reward_weights: tuple[float, ...] = option(
        (), "Weight of each of reward_fns in their sum; empty is 1 each.", _GROUP, advanced=True
    )
    reward_timeout: float = option(
        60.0, "Seconds that a scorer may take for the answers to one prompt.", _GROUP, advanced=True, gt=0, unit="s"
    )

    # -- what is answered -------------------------------------------------------------------------------------------

    num_generations: int = option(8, "Answers to each prompt, which are compared.", _GROUP, ge=1, unit="answers")
    max_completion_length: int = option(256, "Longest answer.", _GROUP, ge=1, unit="tokens")
    temperature: float = option(1.0, "How varied the answers are; 1 is the model's own distribution.", _GROUP, gt=0)
    top_p: float = option(
        1.0, "Sample from the likeliest tokens that hold this share.", _GROUP, advanced=True, gt=0, le=1
    )
    top_k: int = option(0, "Sample from this many of the likeliest tokens; 0 is all.", _GROUP, advanced=True, ge=0)
    num_iterations: int = option(
        1, "Steps on each batch of answers, with the ratio to the weights that gave them.", _GROUP, advanced=True, ge=1
    )

    # -- the loss -----------------------------------------------------------------------------------------------------

    advantage_estimator: Literal["group", "rloo", "reinforce_pp"] = option(
        "group",
        "What an answer's reward is compared with: group is the mean of its group (GRPO), rloo that of the others in its group, "
        "reinforce_pp that of the whole batch.",
        _GROUP,
        advanced=True,
    )
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "rloo"] = option(
        "dapo",
        "How tokens are averaged: grpo within each answer, bnpo and dapo over all tokens of the step, dr_grpo over answers times "
        "max_completion_length; rloo takes each answer's probability as a whole.",
        _GROUP,
    )
    scale_rewards: Literal["group", "batch", "none"] = option(
        "group", "Whose spread of rewards the advantage is divided by.", _GROUP, advanced=True
    )
    importance_sampling_level: Literal["token", "sequence"] = option(
        "token", "Ratio of probabilities of each token, or of whole answers (GSPO).", _GROUP, advanced=True
    )
    epsilon: float = option(0.2, "How far a ratio counts; the lower side where epsilon_high is set.", _GROUP, ge=0)
    epsilon_high: float | None = option(
        None, "How far a ratio counts upwards; DAPO has 0.28. Empty is epsilon.", _GROUP, advanced=True, ge=0
    )
    delta: float | None = option(
        None,
        "Bound of the ratio where the advantage is negative, so that one answer that has become likely cannot rule a step; above "
        "1 + epsilon. INTELLECT-2 has 4.",
        _GROUP,
        advanced=True,
        gt=1,
    )
    beta: float = option(
        0.0, "Strength of the pull towards the model as the run found it; trl's GRPO has 0.", _GROUP, ge=0
    )
    kl_in: Literal["loss", "reward"] = option(
        "loss",
        "Where beta's divergence goes: token by token into the loss (GRPO), or off the reward (RLOO, REINFORCE++).",
        _GROUP,
        advanced=True,
    )
    mask_truncated_completions: bool = option(
        False, "Leave answers that ran into max_completion_length out of the loss (DAPO).", _GROUP, advanced=True
    )
    old_logprobs: Literal["auto", "recomputed", "stored"] = option(
        "auto",
        "What a ratio is to: log-probabilities recomputed before the first step on an answer, or stored ones (of the sampler, or "
        "the column old_logprobs of recorded answers). auto takes stored ones of recorded answers alone.",
        _GROUP,
        advanced=True,
    )

    # -- when it ends -------------------------------------------------------------------------------------------------

    max_kl: float | None = option(
        None,
        "Stop where the divergence from the start is above this for three batches, in nats a token; empty is 5 where beta is above "
        "0, and not looked at else.",
        _GROUP,
        advanced=True,
        gt=0,
    )
    stop_on_collapse: bool = option(
        True,
        "Stop where answers shrink to a tenth of their first length, for three batches, and the reward is no better.",
        _GROUP,
        advanced=True,
    )

    @field_validator("reward_fns", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        given = value if isinstance(value, list | tuple) else () if value is None else (value,)
        return tuple(_named(one) if isinstance(one, str) else name_of("reward_fns", one) for one in given)

    @field_validator("reward_weights", mode="before")
    @classmethod
    def _one_weight(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float | str) else () if value is None else value

    @model_validator(mode="after")
    def _consistent(self) -> PolicyOptions:
        if self.delta is not None and self.delta <= 1 + self.high:
            raise ValueError(
                f"delta={self.delta} must be above 1 + epsilon ({1 + self.high:g}), or it would undo the clipping"
            )
        if self.num_generations < 2 and self.advantage_estimator != "reinforce_pp":
            raise ValueError(
                f"num_generations={self.num_generations} leaves nothing to compare an answer with; give 2 or more, or use "
                "method='reinforce_pp', which compares with the whole batch"
            )
        return self

    @property
    def answers(self) -> bool:
        """Whether the model answers while it trains, and rows are no recorded answers."""
        return bool(self.reward_fns or self.environment)

    @property
    def high(self) -> float:
        """How far a ratio counts upwards."""
        return self.epsilon if self.epsilon_high is None else self.epsilon_high
