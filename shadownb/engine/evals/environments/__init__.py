"""Environments: what a model acts in over several turns; played to score it, or trained in with ``train(environment=...)``.

An environment is a class with ``reset(**row)`` and ``step(action)``, as in OpenEnv and Gymnasium, or with ``reset`` and typed
methods that are its tools, as trl's ``environment_factory`` has them. Text comes in and text goes out; the tokens are those that
the model sampled.

Examples
--------
>>> class Word:
...     def reset(self):
...         return "Say a word."
...     def step(self, action):
...         return "", float(len(action) < 12), True
>>> played = snb.environments.play(model, Word, rows[:4], max_tokens=64, temperature=0.0)
>>> played.reward.value, len(played.episodes)
(1.0, 4)
"""

from shadownb.engine.environments import Episode, Step
from shadownb.engine.evals.environments.playing import Play, play
from shadownb.engine.evals.environments.reasoning import reasoning_gym

__all__ = ["Episode", "Play", "Step", "play", "reasoning_gym"]
