"""Sentences as vectors: meaning, length, and that a text has its vector whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest

from shadownb.engine.embedding import Embedder, embedder
from shadownb.errors import ConfigError

TEXTS = ["What does the kettle cost?", "price of the kettle", "How deep is the sea?", "", "long " * 2000]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return embedder()


def test_what_means_the_same_is_near(minilm: Embedder) -> None:
    kettle, price, sea = minilm.embed(TEXTS[:3])
    assert kettle @ price > 0.8
    assert kettle @ sea < 0.3


def test_every_vector_has_length_one(minilm: Embedder) -> None:
    vectors = minilm.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), minilm.width) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert minilm.embed([]).shape == (0, minilm.width)


def test_a_text_has_its_vector_whatever_stands_beside_it(minilm: Embedder) -> None:
    together = minilm.embed(TEXTS)
    alone = np.concatenate([minilm.embed([text]) for text in reversed(TEXTS)])[::-1]
    assert np.allclose(together, alone, atol=1e-6)


def test_it_is_loaded_once_and_known_by_name(minilm: Embedder) -> None:
    assert embedder("minilm") is minilm
    with pytest.raises(ConfigError, match=r"No embedder is named 'mini'\. Did you mean 'minilm'"):
        embedder("mini")
