"""The words of calls, searched by FTS5: what each call added to its conversation, the tools it called, and its answer.

Their text is kept beside the search index, compressed, because FTS5 forgets a text only if it is told the text again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.engine.capture.call import unpack
from shadownb.engine.capture.exchange import pack
from shadownb.engine.trajectories.identity import calls_as_sent, message_text, reasoning_of
from shadownb.engine.trajectories.linking import texts_in

TABLES = """
CREATE TABLE texts (seq INTEGER PRIMARY KEY, text BLOB NOT NULL);
CREATE VIRTUAL TABLE said USING fts5 (text, content='', tokenize="unicode61 remove_diacritics 2");
"""
MOST_HITS = 10_000  # newest calls that a list of episodes is searched in for a word that stands in more of them
_LONGEST = 100_000  # characters of one text that are searched
_APART = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_WORDS = re.compile(r"[^\W_]+")


def words_of(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return what messages say, think and call, as one text."""
    found = []
    for message in messages:
        found += [message_text(message)[:_LONGEST], reasoning_of(message)[:_LONGEST]]
        for call in calls_as_sent(message):
            arguments = call["arguments"]
            found += [call["name"], *([arguments[:_LONGEST]] if isinstance(arguments, str) else texts_in(arguments))]
    return "\n".join(text for text in found if text)


def add(connection: sqlite3.Connection, seq: int, text: str) -> None:
    """Let a call be found by its text."""
    spread = _spread(text)
    connection.execute("INSERT INTO texts VALUES (?, ?)", (seq, pack(spread.encode("utf-8", "replace"))))
    connection.execute("INSERT INTO said (rowid, text) VALUES (?, ?)", (seq, spread))


def remove(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Let calls be found no more; the words leave the file once :func:`settle` has run."""
    for seq in seqs:
        row = connection.execute("SELECT text FROM texts WHERE seq = ?", (seq,)).fetchone()
        if row is not None:
            text = unpack(row[0]).decode("utf-8")
            connection.execute("INSERT INTO said (said, rowid, text) VALUES ('delete', ?, ?)", (seq, text))
            connection.execute("DELETE FROM texts WHERE seq = ?", (seq,))


def settle(connection: sqlite3.Connection) -> None:
    """Write the search index anew, so that no word is left in it that only deleted calls had."""
    connection.execute("INSERT INTO said (said) VALUES ('optimize')")


def query_of(connection: sqlite3.Connection, text: str) -> str | None:
    """Return the query of FTS5 for calls in which a text stands, its last word perhaps only begun.

    Where none has the words in this order and together, it is for calls that have all of them; None where there are none either.
    """
    words = _WORDS.findall(_spread(text))
    if not words:
        return None
    for query in (f'"{" ".join(words)}"*', " AND ".join([*(f'"{word}"' for word in words[:-1]), f'"{words[-1]}"*'])):
        if connection.execute("SELECT 1 FROM said WHERE said MATCH ? LIMIT 1", (query,)).fetchone():
            return query
    return None


def _spread(text: str) -> str:
    """Return a text in which characters of scripts without blanks between words are words of their own."""
    return text if text.isascii() else _APART.sub(r" \1 ", text)
