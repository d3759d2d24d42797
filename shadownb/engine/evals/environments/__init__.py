"""Environments: what a model acts in over several turns; played to score it, or trained in with ``train(environment=...)``.

An environment is a class with ``reset(**row)`` and ``step(action)``, as in OpenEnv and Gymnasium, or with ``reset`` and typed
methods that are its tools, as trl's ``environment_factory`` has them. Text comes in and text goes out; the tokens are those that
the model sampled.
"""

from shadownb.engine.environments import Episode, Step
from shadownb.engine.evals.environments.playing import Play, play
from shadownb.engine.evals.environments.reasoning import reasoning_gym

__all__ = ["Episode", "Play", "Step", "play", "reasoning_gym"]
