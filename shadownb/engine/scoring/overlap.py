"""How much of the expected words an answer has: token F1 and ROUGE."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’…–—¿¡«»")


class TokenF1:
    """The F1 of an answer's words against those of the expected one, as in SQuAD: apart from case, punctuation and articles.

    It is the harmonic mean of the share of expected words that the answer has and the share of its words that are expected, so that
    padding costs. The order of words does not count. Source: Rajpurkar et al. 2016, and their evaluation script.

    Examples
    --------
    >>> snb.scoring.TokenF1()("It came late.", "it came").value
    0.8
    """

    name: str = "token_f1"

    def __repr__(self) -> str:
        return "TokenF1()"

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        given, wanted = _squad(plain(output)), _squad(plain(expected))
        if not wanted or not given:
            return Score(float(given == wanted), "nothing is expected" if not wanted else "it has no words")
        common = sum((Counter(given) & Counter(wanted)).values())
        return Score(_f1(common, len(given), len(wanted)), f"{common} words of {len(wanted)} expected, in {len(given)}")


class Rouge:
    """ROUGE: the F1 of n-grams, or of the longest common subsequence, between an answer and the expected text.

    Words are runs of letters and digits in lower case, without stemming. Source: Lin 2004; the figures are those of Google's
    ``rouge_score`` with ``use_stemmer=False``, for any alphabet.

    Parameters
    ----------
    kind
        ``rouge1``, ``rouge2`` or ``rougeL``.

    Raises
    ------
    ConfigError
        There is no such kind.

    Examples
    --------
    >>> snb.scoring.Rouge()("the parcel came late", "the parcel came").value
    0.857...
    """

    name: str = "rouge"

    def __init__(self, kind: str = "rougeL") -> None:
        if kind not in ("rouge1", "rouge2", "rougeL"):
            raise ConfigError(f"kind={kind!r} is no ROUGE that is computed here.", fix="rouge1, rouge2 or rougeL.")
        self.kind = kind

    def __repr__(self) -> str:
        return f"Rouge({self.kind!r})"

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        given, wanted = _words(plain(output)), _words(plain(expected))
        if self.kind == "rougeL":
            common, ours, theirs = common_subsequence(given, wanted), len(given), len(wanted)
        else:
            size = int(self.kind[-1])
            first, second = _grams(given, size), _grams(wanted, size)
            common, ours, theirs = sum((first & second).values()), sum(first.values()), sum(second.values())
        if not ours or not theirs:
            return Score(float(given == wanted), "too few words")
        return Score(
            _f1(common, ours, theirs), f"{self.kind}: {common} in common, of {theirs} expected and {ours} given"
        )


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, in time of ``len(first) * len(second) / 64`` (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    everything = (1 << len(first)) - 1
    row = everything
    for word in second:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & everything
    return len(first) - row.bit_count()


def _f1(common: int, given: int, wanted: int) -> float:
    return 2 * common / (given + wanted)


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _squad(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
