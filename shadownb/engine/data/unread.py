"""What was not read: whether it is metadata that may be left, a repetition, or content that refuses its row.

**The rule.** Numbers, dates, flags, and one line of at most 80 characters under a name that says metadata (its last word is id,
source, language, category, model, date ...) are told and left; any other text, a call, a tool, a verdict or bytes refuses the row,
unless it repeats what was read or ``ignore=`` names it.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.data.report import UnreadColumn
from shadownb.engine.messages import is_message_list
from shadownb.engine.messages.calls import looks_like_call, looks_like_schema
from shadownb.engine.messages.texts import shown
from shadownb.engine.messages.values import REASONINGS, from_json_text, is_empty, is_switch, plain_name, verdict_of

LONGEST_LABEL = 80
METADATA, REPEATED, IGNORED = "metadata", "repeats what was read", "ignored"
_EXAMPLE = 60
_MOST_FRAMES = 4

_METADATA_WORDS = frozenset((
    "id", "ids", "uid", "uuid", "guid", "hash", "sha256", "md5", "checksum", "index", "idx", "number", "num", "count", "counts",
    "length", "len", "tokens", "size", "views",
    "source", "sources", "dataset", "datasets", "origin", "provenance", "corpus", "split", "subset", "config", "configs",
    "lang", "language", "languages", "locale", "country", "state", "region", "timezone",
    "model", "models", "engine", "provider", "generator", "agent", "name", "names",
    "date", "time", "timestamp", "created", "updated", "modified", "at", "utc", "year",
    "url", "urls", "link", "links", "uri", "href", "path", "paths", "file", "files", "filename", "repo", "repository",
    "category", "categories", "subcategory", "topic", "topics", "subtopic", "tag", "tags", "domain", "domains", "subject",
    "type", "types", "kind", "task", "tasks", "level", "difficulty", "format", "genre", "skill", "skills", "quality",
    "score", "scores", "rating", "ratings", "rank", "ranks", "reward", "rewards", "votes", "upvotes", "ratio",
    "author", "authors", "user", "annotator", "annotators", "worker", "contributor", "username", "email", "ip", "device",
    "license", "licence", "version", "status", "stage", "order", "meta", "metadata", "header", "headers", "extra",
    "toxicity", "moderation", "detoxify", "emojis", "labels", "role", "from", "finish_reason", "stop_reason", "usage",
))  # fmt: skip
_VERDICT_NAMES = frozenset((
    "label", "labels", "verdict", "kto_tag", "preference", "preferred", "winner", "accepted", "desirable", "correct",
    "is_correct", "is_good", "thumbs_up", "thumbs", "vote", "feedback", "liked",
))  # fmt: skip
# A row that is marked "do not train" must not be trained; marked to be trained it says nothing new.
_TRAIN_NAMES = frozenset((
    "train", "training", "trainable", "weight", "weights", "sample_weight", "loss_weight", "loss_weights", "loss_mask",
    "train_mask", "turn_mask", "train_on_turn", "train_on_turns",
))  # fmt: skip
_GOOD_FLAGS = frozenset((
    "correct", "safe", "good", "valid", "passed", "success", "successful", "accepted", "acceptable", "approved", "resolved",
    "helpful", "desirable",
))  # fmt: skip
_BAD_FLAGS = frozenset((
    "incorrect", "wrong", "unsafe", "bad", "invalid", "failed", "rejected", "harmful", "undesirable",
    "mask", "masked", "skip", "ignore", "exclude", "excluded", "deleted", "mask_history",
))  # fmt: skip
# Under these a word may be a verdict, and anything else is metadata.
_JUDGED = frozenset(("quality", "rating", "judgment", "judgement", "grade", "outcome", "status"))
_OF_A_PAIR = frozenset((*"0123456789abjk", "chosen", "rejected"))
_CALL_NAMES = frozenset(("function_call", "function_calls", "tool_call", "tool_calls"))
_NUMBER = re.compile(r"[-+]?(\d[\d,._]*|\d*\.\d+)(e[-+]?\d+)?%?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")
_MACHINE = re.compile(r"https?://\S+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}", re.IGNORECASE)


def content_of(name: str, value: Any, *, labelled: bool = False) -> str | None:
    """Return what a value that was not read holds (``text``, ``a call``, ``a tool``, ``a verdict``, ``bytes``); None for metadata.

    Parameters
    ----------
    name
        Of the column or key, perhaps with the path to it: ``messages[].id``.
    labelled
        Whether what stands around it says metadata already.
    """
    plain = plain_name(re.split(r"[.\]]+", name)[-1])
    if is_empty(value):
        return None
    value = from_json_text(value)
    if plain in _CALL_NAMES or looks_like_call(value):
        return "a call"
    if looks_like_schema(value):
        return "a tool"
    if (good := _flag(plain, value)) is not None:
        return None if good else "a verdict"
    if isinstance(value, (bool, int, float, str)) and (
        plain in _VERDICT_NAMES or (plain in _TRAIN_NAMES and verdict_of(value) is not True)
    ):
        return "a verdict"
    last = re.sub(r"_(\w|\d+)$", "", plain).rpartition("_")[2]  # of model_a it is model
    labelled = (
        labelled or plain in _METADATA_WORDS or last in _METADATA_WORDS or plain.rpartition("_")[2] in _METADATA_WORDS
    )
    if isinstance(value, str):
        return None if _is_label(value, labelled) else "text"
    if isinstance(value, dict):
        if is_message_list([value]) and not is_empty(value.get("content", value.get("value"))):
            return "text"
        found = [content_of(str(key), entry, labelled=labelled) for key, entry in value.items()]
    elif isinstance(value, (list, tuple)):
        found = [content_of(name, entry, labelled=labelled) for entry in value]
    elif isinstance(value, (bytes, bytearray)):
        return "bytes"
    else:
        plainly = (bool, int, float, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)
        return None if isinstance(value, plainly) or labelled else f"a {type(value).__name__}"
    return next((kind for kind in found if kind is not None), None)


def _flag(plain: str, value: Any) -> bool | None:
    """Return what a flag says of its row (``is_safe``, ``passed``, ``harmful``): good or bad; None for what is no such flag.

    One that names an answer of a pair (``is_response_0_safe``) says nothing of the row, and none that a model was to think.
    """
    if plain in REASONINGS and is_switch(value):
        return True
    words = plain.split("_")
    if words[-1] in _JUDGED and isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return False if verdict_of(value) is False else None
    polarity = True if words[-1] in _GOOD_FLAGS else False if not _BAD_FLAGS.isdisjoint((words[-1], plain)) else None
    said = (
        verdict_of(value) if isinstance(value, (bool, str)) or (words[0] in ("is", "was") and value in (0, 1)) else None
    )
    if polarity is None or said is None or plain in _VERDICT_NAMES or not _OF_A_PAIR.isdisjoint(words):
        return None
    return said is polarity


def _is_label(text: str, labelled: bool) -> bool:
    text = text.strip()
    if any(pattern.fullmatch(text) for pattern in (_NUMBER, _DATE, _MACHINE)):
        return True
    return labelled and len(text) <= LONGEST_LABEL and "\n" not in text


def words_of(value: Any) -> set[str]:
    """Return every text in a nested value, white space and case of its ends aside."""
    value = from_json_text(value)
    if isinstance(value, str):
        return {" ".join(value.split())} if value.strip() else set()
    if isinstance(value, dict):
        return set().union(*map(words_of, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(words_of, value))
    return set()


_ROLE_WORDS = frozenset(("system", "user", "assistant", "tool", "human", "gpt", "function", "text", "chatgpt", "model"))


def repeats(value: Any, read: set[str]) -> bool:
    """Whether every text in a value stands word for word in what was read (as in ``messages`` beside ``chosen``)."""
    words = words_of(value)
    return bool(words) and words <= read | _ROLE_WORDS and not words <= _ROLE_WORDS


def frame_of(value: Any, texts: list[str]) -> str | None:
    """Return what stands around the texts of a row in a value that holds them all, in order; None where it does not.

    The ``text`` column of alpaca is such a frame: the row written into a prompt template.
    """
    if not isinstance(value, str):
        return None
    frame, at = [], 0
    for text in map(str.strip, texts):
        start = value.find(text, at)
        if start < 0:
            return None
        frame.append(value[at:start])
        at = start + len(text)
    return "\0".join(sorted({*frame, value[at:]})) if at else None  # of two turns or four, the same marks stand between


@dataclass
class Tally:
    """What each row of a set leaves unread, and which rows that refuses.

    Attributes
    ----------
    kinds
        By row: name of what was not read, and its kind as in :class:`UnreadColumn`.
    examples
        The first value of each name and kind, as it is shown.
    """

    ignore: frozenset[str] = frozenset()
    kinds: defaultdict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    _frames: defaultdict[str, list[tuple[int, str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self,
        index: int,
        unread: Iterable[tuple[str, Any]],
        read: set[str],
        texts: list[str],
        left: frozenset[str] = frozenset(),
    ) -> None:
        """Take what one row leaves unread, with the texts that were read of it; ``left`` are plain names to ignore, too."""
        for name, value in unread:
            ignored = _ignored(name, self.ignore) or plain_name(name) in left
            kind = IGNORED if ignored else content_of(name, value) or METADATA
            if refuses(kind) and kind != "a verdict" and repeats(value, read):
                kind = REPEATED
            elif kind == "text" and (frame := frame_of(value, texts)) is not None:
                self._frames[name].append((index, frame, value))
                continue
            self._note(index, name, kind, value)

    def judge_frames(self) -> None:
        """Judge the columns that hold their row in a frame of other text. Call it once, after the last row.

        One frame, or few for many rows, is a prompt template; where each row has its own, something stands in them.
        """
        for name, entries in self._frames.items():
            frames = len({frame for _, frame, _ in entries})
            same = frames == 1 or (frames <= _MOST_FRAMES and frames * 2 <= len(entries))
            for index, _, value in entries:
                self._note(index, name, REPEATED if same else "text", value)
        self._frames.clear()

    def _note(self, index: int, name: str, kind: str, value: Any) -> None:
        before = self.kinds[index].get(name)
        if before is None or not refuses(before):  # of many values under one key, the one that refuses the row is told
            self.kinds[index][name] = kind
        if (name, kind) not in self.examples:
            self.examples[name, kind] = _example(value)


def refuses(kind: str) -> bool:
    """Whether something unread of this kind refuses its row."""
    return UnreadColumn("", 0, kind).refuses


def counted(rows: Iterable[Mapping[str, str]], examples: Mapping[tuple[str, str], str]) -> tuple[UnreadColumn, ...]:
    """Return what rows leave unread as one entry for each name and kind, the most frequent first."""
    counts = Counter(entry for row in rows for entry in row.items())
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(UnreadColumn(shown(name), rows, kind, examples[name, kind]) for (name, kind), rows in ordered)


def refusal(kinds: Mapping[str, str]) -> str | None:
    """Return why a row is refused for what it leaves unread, or None."""
    parts = [f"{name} ({kind})" for name, kind in sorted(kinds.items()) if refuses(kind)]
    return f"not read: {', '.join(parts)}; map it with columns=, or leave it out with ignore=" if parts else None


def _ignored(name: str, ignore: frozenset[str]) -> bool:
    return name in ignore or name.partition("[]")[0] in ignore


def _example(value: Any) -> str:
    from shadownb.engine.data.display import cell_text

    return cell_text(value, _EXAMPLE)
