"""Generation: what every inference backend shares, and the gate that keeps it apart from training.

``TransformersGenerator`` is imported from its own module, because it loads torch.
"""

from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.inference.constraint import Constraint
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.inference.reply_stream import ReplyStream
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.types import Completion, Generator, Reply, Rollout, Sampling, TextStream

__all__ = [
    "AdapterId",
    "AdapterSource",
    "Completion",
    "Constraint",
    "Generator",
    "Reply",
    "ReplyStream",
    "Rollout",
    "Sampling",
    "TextStream",
    "TokenStream",
    "WeightsGate",
]
