"""Environments: what a model acts in over several turns, with text in and text out.

An environment is a class. Its methods are ``reset(**row)`` and ``step(action)``, as in OpenEnv and Gymnasium; or ``reset`` and
typed methods that the model calls as tools, as trl's ``environment_factory`` has them. :mod:`.reading` says what they may return,
:mod:`.adapters` what else they may have, :mod:`.playing` how a batch of episodes is played.
"""

from shadownb.engine.environments.episode import Episode
from shadownb.engine.environments.reading import Step

__all__ = ["Episode", "Step"]
