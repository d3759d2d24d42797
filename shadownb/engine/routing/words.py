"""Words of questions and facts: which carry meaning, which are names or codes, and what is asked for."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from difflib import SequenceMatcher
from pathlib import Path

# Vowel signs and other marks belong to the letter before them, which \w does not know; so do the joiners of Persian and Hindi.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x1F000)) if unicodedata.category(char)[0] == "M")
_LETTER = rf"[\w\u200c\u200d{re.escape(_MARKS)}]"
# A code with its hyphens, points and slashes is one word: one digit off is another code.
_WORD = re.compile(rf"{_LETTER}+(?:[-./:,&]{_LETTER}+)*")
_LAST_READ = "\u024f"
# Thai, Lao, Burmese, Khmer, kana and Han are written without spaces.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
)
_SENTENCE_END = ".!?:;\n"
_DIGIT = re.compile(r"\d")


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _set_of(
    "a about am an and any are as at be been being by can could did do does doing for from had has have having he her hers him "
    "his how i if in into is it its just may me mine must my of on one or our ours please shall she should so some tell than that "
    "the their theirs them then there these they this those to upon us want was we were what when where which while who whom "
    "whose why will with would you your yours give need know get"
)
_SAY_NOTHING = _set_of("a an the is please")
_NUMBER_WORDS = _set_of(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty hundred thousand million half dozen first second third fourth fifth sixth seventh eighth "
    "ninth tenth twice every no none"
)
_TIME_WORDS = _set_of(
    "january february march april may june july august september october november december monday tuesday wednesday thursday "
    "friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays sundays day days week weeks month months year "
    "years noon midnight morning evening night daily weekly"
)
_ASKED = (
    ("who", re.compile(r"\b(who|whom|whose)\b", re.IGNORECASE)),
    (
        "when",
        re.compile(
            r"\b(when|until when|since when|what time|which day|what day|what date|which date)\b", re.IGNORECASE
        ),
    ),
    ("number", re.compile(r"\bhow (many|much)\b", re.IGNORECASE)),
    ("where", re.compile(r"\bwhere\b", re.IGNORECASE)),
)
_WANTED = _set_of("who whose when where why")
_WHEN = re.compile(
    r"\b(?:(?:at|on|in|by|from|until|since) )?(?:what|which) (?:time|day|date|year|month|hour)\b", re.IGNORECASE
)
_BY_WHOM = re.compile(r"\b(?:by )?whom\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow many (\w+)", re.IGNORECASE)
# Words set against each other, with those that say the same joined by a stroke.
_CONTRARIES = tuple(
    {word: side for side, same in enumerate(line.split()) for word in same.split("/")}
    for line in (
        "open/opened close/closed", "first last", "begin/start/beginning end/finish", "minimum/least maximum/most",
        "arrive/arrival leave/depart/departure",
        "buy/bought sell/sold", "adult child/children student senior", "early/earliest late/latest", "entry exit", "top bottom",
        "summer winter spring autumn", "morning evening night noon", "left right", "north south east west", "inside outside",
        "old new", "send/sent receive/received", "width/wide length/long height/tall/high depth/deep",
        "boil/boiling freeze/freezing melt/melting",
        "lend borrow", "car lorry/truck bicycle/bike", "cat dog horse", "black white red green blue grey yellow brown",
        "checkin checkout", "login logout", "switchon switchoff", "turnon turnoff", "before after", "above below", "with without",
        "january february march april may june july august september october november december",
        "monday tuesday wednesday thursday friday saturday sunday",
    )
)  # fmt: skip
_VERB_PARTS = re.compile(r"\b(check|log|switch|turn)(?:s|ed|ing|ged|ging)?[ -](in|out|on|off)\b", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, a plural as its singular, in their order."""
    return [stem(word.lower()) for word, _ in _pieces(_plain(text))]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("’", "'").replace("'s", "")


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Yield each word and where it begins; where nothing parts words, every two neighbouring characters."""
    for found in _WORD.finditer(text):
        place = found.start()
        for number, part in enumerate(_UNSPACED.split(found.group())):
            if number % 2:
                yield from ((part[n : n + 2], place + n) for n in range(max(1, len(part) - 1)))
            elif part:
                yield part, place
            place += len(part)


def unread(word: str) -> bool:
    """Return whether a word has a letter that is beyond Latin Extended-B, so that an English embedder has hardly met it."""
    return any(char.isalpha() and char > _LAST_READ for char in word)


def asks(question: str) -> tuple[str, ...]:
    """Return what two spellings of one question have in common: its words in their order, without those that say nothing.

    Who, when and where stay, and so does the order: who owes whom are two facts.
    """
    return tuple(word for word in words(question) if word not in _SAY_NOTHING) or (question,)


def stem(word: str) -> str:
    """Return a word without the ending of a plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def telling(text: str) -> list[str]:
    """Return the words that say what a text is about."""
    return [word for word in words(text) if word not in STOP_WORDS]


def names(text: str, known: Collection[str] = ()) -> set[str]:
    """Return the words that name one thing: with a digit, with a capital inside a sentence, or among ``known``."""
    text = _plain(text)
    return {stem(text[start:end].lower()) for start, end in _names_in(text, known)}


def uncommon(text: str, usual: Callable[[str], bool]) -> set[str]:
    """Return the words of a text that are neither usual nor among those of ``ordinary.txt``: names in small letters, mostly."""
    found = {word.lower() for word, _ in _pieces(_plain(text)) if word.isalpha() and not unread(word)}
    return {stem(word) for word in found if not any(usual(form) or form in ordinary() for form in (word, stem(word)))}


@functools.cache
def ordinary() -> frozenset[str]:
    """Return words that people use and the embedder's vocabulary lacks, as ``benchmarks/facts_asked.py`` found them."""
    return frozenset((Path(__file__).parent / "ordinary.txt").read_text(encoding="utf-8").split())


def places_of_names(text: str, known: Collection[str] = ()) -> list[tuple[int, int]]:
    """Return where the words that :func:`names` finds begin and end."""
    plain = unicodedata.normalize("NFC", text)
    return list(_names_in(plain, known)) if plain == text else []


def _names_in(text: str, known: Collection[str]) -> Iterator[tuple[int, int]]:
    for word, start in _pieces(text):
        before = text[:start].rstrip(" \"'(")
        low = stem(word.lower())
        begins = not before or before[-1] in _SENTENCE_END
        if low in STOP_WORDS:
            continue
        if _DIGIT.search(word) or low in known or (word[0].isupper() and not begins):
            yield start, start + len(word)


@functools.lru_cache(maxsize=4096)
def _said(text: str) -> frozenset[str]:
    return frozenset(words(_VERB_PARTS.sub(r"\1\2", text)))


def loose_numbers(text: str) -> set[str]:
    """Return the numbers that count or measure rather than name: those that stand behind no name (24 hours; not Plan 3)."""
    text = _plain(text)
    found, before = set(), ""
    for word, start in _pieces(text):
        if word.isdecimal() and not (before[:1].isupper() and text[:start].endswith(f"{before} ")):
            found.add(word)
        before = word
    return found


def is_code(word: str) -> bool:
    """Return whether a word has a digit, so that one that is nearly the same is another."""
    return bool(_DIGIT.search(word))


def without(text: str, taken: Collection[str]) -> str:
    """Return a text with ``it`` in the place of some words, so that what is asked of a thing is left."""
    cleared = _WORD.sub(lambda m: "it" if stem(m.group().lower()) in taken else m.group(), text.replace("'s", ""))
    return re.sub(r"\b(the |a |an )?it( it)*\b", "it", cleared)


def swapped(question: str, other: str) -> float:
    """Return the share of words that two sentences have in the same order, where each has telling ones of its own; else 0.

    Who, when, where, why and how are telling here, and so are what and which where the other asks for one of these: "What was it
    paved with?" is not "When was it paved?".
    """
    one, two = (words(_BY_WHOM.sub("who", _WHEN.sub("when", text))) for text in (question, other))
    mine, others = {*one} - {*two}, {*two} - {*one}
    if not (_tells(mine, others) and _tells(others, mine)):
        return 0.0
    return SequenceMatcher(None, one, two, autojunk=False).ratio()


def _tells(mine: set[str], others: set[str]) -> bool:
    return bool(mine - STOP_WORDS or mine & {*_WANTED, "how"} or (mine & {"what", "which"} and others & _WANTED))


def contrary(one: str, other: str) -> bool:
    """Return whether one text has a word whose opposite the other has, and neither has both."""
    first, second = _said(one), _said(other)
    mine, others = first - second, second - first
    for sides in _CONTRARIES:
        here, there = ({sides[word] for word in words_ if word in sides} for words_ in (mine, others))
        if here - there and there - here:
            return True
    return False


def counted(question: str) -> str:
    """Return the word for what a question wants the number of; empty where it asks for no number."""
    found = _HOW_MANY.search(question)
    return stem(found[1].lower()) if found else ""


def asked_kind(question: str) -> str:
    """Return what kind of thing a question wants: ``who``, ``when``, ``number``, ``where``, or ``""`` where it does not say."""
    return next((kind for kind, pattern in _ASKED if pattern.search(question)), "")


def differs(kind: str, other: str) -> bool:
    """Return whether two questions say that they want things of different kinds."""
    return bool(kind and other and kind != other)


def answers_kind(kind: str, answer: str) -> bool:
    """Return whether an answer can be of the kind that a question wants."""
    said = {word.lower() for word in re.findall(r"[^\W\d_]+", answer)}
    digits = bool(_DIGIT.search(answer))
    if kind == "number":
        return digits or bool(said & _NUMBER_WORDS)
    if kind == "when":
        return digits or bool(said & (_TIME_WORDS | _NUMBER_WORDS))
    return not digits if kind in ("who", "where") else True
