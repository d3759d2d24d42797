"""The options of PPO, under the names that trl's PPOConfig had; ``critic_warmup`` is verl's."""

from __future__ import annotations

from typing import Literal

from shadownb.engine.config_options import option
from shadownb.engine.objectives.policy.options import AnswerOptions

_GROUP = "reward"


class PpoOptions(AnswerOptions):
    """What is chosen of PPO."""

    num_generations: int = option(
        8, "Answers to each prompt; with a value head one is enough, and more share the prompt's cost.", _GROUP, ge=1,
        unit="answers",
    )  # fmt: skip

    # -- steps on a batch ---------------------------------------------------------------------------------------------

    num_ppo_epochs: int = option(
        4, "How often each batch of answers is gone through; each time takes num_mini_batches steps.", _GROUP, ge=1
    )
    num_mini_batches: int = option(
        1, "Parts that a batch of answers is divided into, each of which is a step.", _GROUP, advanced=True, ge=1
    )
    cliprange: float = option(0.2, "How far the ratio to the weights that gave the answers counts.", _GROUP, gt=0)
    whiten_rewards: bool = option(
        False, "Divide the rewards of a batch by their spread, before advantages are computed.", _GROUP, advanced=True
    )
    missing_eos_penalty: float | None = option(
        None,
        "What is taken off the reward of an answer that was cut off. Empty is nothing.",
        _GROUP,
        advanced=True,
        gt=0,
    )

    # -- the reference ------------------------------------------------------------------------------------------------

    kl_coef: float = option(
        0.05,
        "What each token's divergence from the model as the run found it costs, taken off the token's reward.",
        _GROUP,
        ge=0,
    )
    kl_estimator: Literal["k1", "k3"] = option(
        "k1",
        "How that divergence is estimated: k1 is the log-ratio, right on average; k3 is never negative and varies less.",
        _GROUP,
        advanced=True,
    )

    # -- the critic ---------------------------------------------------------------------------------------------------

    gamma: float = option(1.0, "What a reward is worth one token earlier.", _GROUP, advanced=True, gt=0, le=1)
    lam: float = option(
        0.95,
        "How far advantages believe rewards (1) rather than the values of later tokens (0): lambda of GAE.",
        _GROUP,
        advanced=True,
        ge=0,
        le=1,
    )
    vf_coef: float = option(0.1, "Weight of the value loss beside the policy's.", _GROUP, advanced=True, gt=0)
    cliprange_value: float = option(
        0.2, "How far a value may move from what it was before the batch and still lower the loss.", _GROUP, advanced=True,
        gt=0,
    )  # fmt: skip
    normalize_values: bool = option(
        True,
        "Have the value head say how many spreads above their mean returns are, of hidden states of length 1. Off is trl's way: "
        "returns themselves, of hidden states as they are.",
        _GROUP,
        advanced=True,
    )
    value_learning_rate: float | None = option(
        None,
        "Learning rate of the value head at the top of the schedule; empty is ten times learning_rate with normalize_values, else "
        "learning_rate.",
        _GROUP,
        advanced=True,
        gt=0,
    )
    critic_warmup: int = option(
        2,
        "Batches at the beginning on which the value head alone is trained.",
        _GROUP,
        advanced=True,
        ge=0,
        unit="batches",
    )

    # What the parts that all policy gradients share call these.

    @property
    def num_iterations(self) -> int:
        """How many steps each batch of answers is trained for."""
        return self.num_ppo_epochs * self.num_mini_batches

    @property
    def beta(self) -> float:
        """Strength of the pull towards the model as the run found it."""
        return self.kl_coef

    @property
    def epsilon(self) -> float:
        """How far a ratio counts downwards."""
        return self.cliprange

    @property
    def high(self) -> float:
        """How far a ratio counts upwards."""
        return self.cliprange

    @property
    def delta(self) -> None:
        """No bound of the ratio where the advantage is negative."""
        return None
