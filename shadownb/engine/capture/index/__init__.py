"""The index of a capture: its episodes and its words, kept beside the calls so that a list of a million is paged and searched.

It is only a cache. Whoever reads it first brings it up to date; without it, it is made anew from the calls. What is deleted from
the calls leaves it with them.
"""

from shadownb.engine.capture.index.index import CaptureIndex
from shadownb.engine.capture.index.table import PAGE, SORTS, EpisodeTable

__all__ = ["PAGE", "SORTS", "CaptureIndex", "EpisodeTable"]
