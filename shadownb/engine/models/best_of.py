"""The best of several answers by what a scorer says of each: ``generate(best_of=8, scorer=...)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference import Sampling
from shadownb.engine.scoring import Sample, Score, resolve
from shadownb.errors import ConfigError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.models.generation import Generation
    from shadownb.engine.models.questions import Opening


def check(best_of: int, scorer: Any, sampling: Sampling) -> None:
    """Raise ConfigError for a number that leaves nothing to choose, and for what the one option means without the other."""
    if type(best_of) is not int or best_of < 1:
        raise ConfigError(f"best_of={best_of!r} must be a whole number of at least 1.", fix="4 to 16 are usual.")
    if (best_of > 1) != (scorer is not None):
        missing = "scorer is not given" if scorer is None else f"best_of={best_of} leaves nothing to choose from"
        raise ConfigError(
            f"best_of and scorer belong together: {missing}.",
            fix="Give both, as in generate(prompt, best_of=8, scorer=snb.RewardModel(run)), or neither.",
        )
    if best_of > 1 and sampling.temperature == 0:
        raise ConfigError(
            f"best_of={best_of} with temperature=0: all {best_of} answers would be the same.", fix="Raise temperature."
        )


def texts(
    generation: Generation,
    prompts: Sequence[str],
    opening: Opening,
    use: Any,
    sampling: Sampling,
    should_stop: Callable[[], bool] | None,
    *,
    best_of: int,
    scorer: Any,
) -> list[str]:
    """Return for each prompt the answer that scored highest of ``best_of`` ones, the first of equals.

    Raises
    ------
    ConfigError
        The scorer compares with an expected answer, or could score no answer to a prompt.
    """
    asked = resolve(scorer)
    if asked.needs_expected:
        raise ConfigError(
            f"scorer={asked.name} compares with an expected answer, and a prompt has none.",
            fix="Give one that looks at the answer alone: snb.RewardModel(run), or a function of prompts and completions.",
        )
    uses = list(use) if isinstance(use, list | tuple) else [use] * len(prompts)
    many = [prompt for prompt in prompts for _ in range(best_of)]
    sides = [one for one in uses for _ in range(best_of)]
    found = generation.texts(many, opening, sides, sampling, should_stop)
    system = [{"role": "system", "content": opening.system}] if isinstance(opening.system, str) else []
    best: list[str] = []
    unscored = 0
    for number, prompt in enumerate(prompts):
        answers = found[number * best_of : (number + 1) * best_of]
        messages = [*system, {"role": "user", "content": prompt}]
        samples = [Sample(said, "", prompt=prompt, messages=messages) for said in answers]
        scores = asked.score_many(samples)
        known = [(score.value, at) for at, score in enumerate(scores) if score.value is not None]
        unscored += len(scores) - len(known)
        if not known:
            raise _nothing_scored(asked.name, prompt, scores)
        best.append(answers[max(known, key=lambda pair: (pair[0], -pair[1]))[1]])
    if unscored:
        warnings.warn(
            f"{asked.name} could not score {unscored} of {len(found)} answers; the best of the others were taken.",
            ShadowWarning,
            stacklevel=4,
        )
    return best


def _nothing_scored(name: str, prompt: str, scores: Sequence[Score]) -> ConfigError:
    return ConfigError(
        f"scorer={name} could score none of the {len(scores)} answers to {prompt!r:.60}.",
        why=f"{scores[0].reason}.",
        fix="Call it yourself on one of them, or leave best_of out.",
    )
