"""The scorers of a training: asked about the answers to one prompt at a time, so that what one gets wrong spares the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine import functions
from shadownb.engine.data.beside import AS_TEXT
from shadownb.engine.environments import Episode
from shadownb.engine.environments.finding import ENVIRONMENT
from shadownb.engine.inference.types import Completion
from shadownb.engine.objectives.policy.environment_options import environment_of
from shadownb.engine.objectives.policy.options import AnswerOptions
from shadownb.engine.scoring import Score, resolve, score_batch
from shadownb.engine.scoring.asking import Scoring
from shadownb.engine.scoring.samples import EXPECTED
from shadownb.errors import ConfigError

REWARD_FNS = "reward_fns"


def scorers(own: AnswerOptions) -> list[Scoring]:
    """Return the scorers that the options name.

    Raises
    ------
    ConfigError
        One of them cannot be found in this process, or cannot be called as a scorer.
    """
    found = [functions.load(REWARD_FNS, name) if ":" in name else name for name in own.reward_fns]
    return [resolve(one() if isinstance(one, type) else one) for one in found]


def labels(found: Sequence[Scoring]) -> list[str]:
    """Return what the scorers are called in curves and tables; of two that have one name, the second gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for scorer in found:
        plain = "".join(letter if letter.isalnum() else "_" for letter in scorer.name.rpartition(":")[2]).strip("_")
        seen[plain] += 1
        names.append(plain if seen[plain] == 1 else f"{plain}_{seen[plain]}")
    return names


class Rewards:
    """What scores the answers of a run.

    Attributes
    ----------
    names
        Of the scorers, each once.
    failed
        How often each scorer gave no verdict, and its first reason.
    """

    def __init__(self, own: AnswerOptions) -> None:
        self._scorers = scorers(own)
        self._weights = own.reward_weights or (1.0,) * len(self._scorers)
        self._timeout = own.reward_timeout
        self._acts = bool(environment_of(own))
        self.names = [*labels(self._scorers), *([ENVIRONMENT] if self._acts else [])]
        self.failed: dict[str, tuple[int, str]] = {}

    def score(
        self,
        prompt: Sequence[Mapping[str, Any]],
        answers: Sequence[Completion],
        columns: Mapping[str, Any],
        *,
        as_text: bool,
    ) -> list[dict[str, Any]]:
        """Return what each answer to a prompt is worth: ``{"reward", "rewards", "reasons"}``, numbers or None.

        Parameters
        ----------
        prompt
            As messages.
        columns
            Of the prompt's row. Scorers get ``completion_ids`` and ``finish_reason`` of each answer beside them.
        as_text
            Whether the row has its prompt as a text; scorers get prompts and answers in the form that the row has, as with trl.

        Raises
        ------
        ConfigError
            A scorer wants a column that the rows do not have.
        """
        asked: Any = prompt[-1]["content"] if as_text else [dict(message) for message in prompt]
        texts = [answer.text for answer in answers]
        said: list[Any] = texts if as_text else [_messages(answer) for answer in answers]
        beside: dict[str, list[Any]] = {name: [value] * len(said) for name, value in columns.items()}
        beside["completion_ids"] = [list(answer.token_ids) for answer in answers]
        beside["finish_reason"] = [answer.finish_reason for answer in answers]
        by_scorer = score_batch(self._scorers, [asked] * len(said), said, beside, timeout=self._timeout)
        if self._acts:
            by_scorer = [*by_scorer, [_of_environment(answer) for answer in answers]]
        self._count(by_scorer)
        return [self._of_one(scores) for scores in zip(*by_scorer, strict=True)]

    def _of_one(self, scores: Sequence[Score]) -> dict[str, Any]:
        weights = (*self._weights, 1.0) if self._acts else self._weights  # that of an environment is 1, as trl's
        known = [weight * score.value for weight, score in zip(weights, scores, strict=True) if score.value is not None]
        return {
            "reward": sum(known) if known else None,
            "rewards": {name: score.value for name, score in zip(self.names, scores, strict=True)},
            "reasons": {name: score.reason for name, score in zip(self.names, scores, strict=True) if score.reason},
        }

    def _count(self, by_scorer: Sequence[Sequence[Score]]) -> None:
        for name, scores in zip(self.names, by_scorer, strict=True):
            missing = [score for score in scores if score.value is None]
            if missing:
                count, reason = self.failed.get(name, (0, missing[0].reason))
                self.failed[name] = (count + len(missing), reason)


def _messages(answer: Completion) -> list[dict[str, Any]]:
    if isinstance(answer, Episode):
        return [dict(message) for message in answer.messages]
    return [{"role": "assistant", "content": answer.text}]


def _of_environment(answer: Completion) -> Score:
    assert isinstance(answer, Episode)
    return Score(answer.reward, answer.reason)


def nothing_scored(failed: Mapping[str, tuple[int, str]]) -> ConfigError:
    """Return the error of a batch in which no answer has a reward."""
    if list(failed) == [ENVIRONMENT]:
        return ConfigError(
            "environment=: no episode of the batch got a reward.",
            why=f"{failed[ENVIRONMENT][1]}.",
            fix="Return a reward from step(), or give the class get_reward(); where answers are cut, raise max_completion_length.",
        )
    told = "; ".join(f"{name}: {reason}" for name, (_, reason) in failed.items())
    return ConfigError(
        f"{REWARD_FNS}={sorted(failed)}: no answer of the batch got a reward.",
        why=f"{told}.",
        fix="Call it yourself first, with prompts, completions and the columns of a row.",
    )


def check(own: AnswerOptions, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise ConfigError for weights of other scorers, scorers that are not here, and columns that canonical rows lack."""
    if own.reward_weights and len(own.reward_weights) != len(own.reward_fns):
        raise ConfigError(
            f"reward_weights={own.reward_weights} has {len(own.reward_weights)} entries, reward_fns {len(own.reward_fns)}.",
            fix="Give one weight for each, or leave reward_weights out.",
        )
    if own.reward_fns:
        names = {name for row in rows[:64] for name in row.get("columns", {})}
        check_columns(scorers(own), names - {AS_TEXT})


def check_columns(found: Sequence[Scoring], columns: set[str]) -> None:
    """Raise ConfigError for a scorer that compares with an expected answer where the rows have none."""
    for scorer in found:
        if scorer.needs_expected and not columns & set(EXPECTED):
            raise ConfigError(
                f"{REWARD_FNS}: {scorer.name} compares with an expected answer, and the rows have none.",
                why=f"They have {', '.join(sorted(columns)) or 'nothing beside the question'}; looked for: {', '.join(EXPECTED)}.",
                fix="Give rows with one of these columns, or a scorer that needs none: fn(prompts, completions, **columns).",
            )
