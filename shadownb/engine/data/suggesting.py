"""Which column of a table may be which part of a row: by what the column is called, else by what stands in it.

A suggestion is shown and confirmed by a person; nothing is read by it before.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.data.base import CheckedRows
from shadownb.engine.data.splitting import moment_of
from shadownb.engine.messages.values import is_empty, plain_name, verdict_of
from shadownb.errors import DataError

LOOKED_AT = 200
_UNCLEAR = ("raw", "text", "prompt")  # a column beside the text, or beside the question, may be the answer
# Words of headers, without accents: English, German, French, Spanish, Italian, Portuguese, Dutch.
_WORDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversation", "conversations", "dialog", "dialogue", "transcript"),
    "chosen": ("chosen", "preferred", "better", "winner", "accepted"),
    "rejected": ("rejected", "dispreferred", "worse", "loser", "declined"),
    "system": ("system", "persona", "rules"),
    "context": ("context", "passage", "background", "article", "kontext", "contexte", "contexto", "contesto"),
    "reasoning": ("reasoning", "rationale", "thought", "thoughts", "thinking", "explanation", "begrundung"),
    "completion": (
        "completion", "answer", "answers", "response", "reply", "output", "target", "solution", "label", "category", "class",
        "intent", "queue", "summary", "translation", "correction", "antwort", "losung", "kategorie", "zusammenfassung",
        "reponse", "categorie", "resume", "respuesta", "categoria", "salida", "risposta", "resposta", "antwoord", "sortie",
    ),
    "prompt": (
        "prompt", "question", "query", "instruction", "request", "input", "problem", "message", "ticket", "mail", "email", "body",
        "text", "content", "comment", "review", "complaint", "subject", "customer", "user", "frage", "anfrage", "nachricht",
        "aufgabe", "eingabe", "kunde", "kundenanfrage", "demande", "entree", "texte", "pregunta", "consulta", "mensaje",
        "entrada", "texto", "domanda", "messaggio", "testo", "pergunta", "mensagem", "vraag", "bericht", "tekst",
    ),
    "label": ("thumbs", "good", "helpful", "approved", "verdict", "rating", "feedback", "bewertung"),
}  # fmt: skip


@dataclass(frozen=True)
class Suggestion:
    """How the rows of a table may be read.

    Attributes
    ----------
    columns
        Column of the rows to known name, as :meth:`Dataset.read_as` takes it.
    ignore
        Columns that hold text and would refuse rows if they were neither read nor left out.
    reasons
        By column: why.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def suggest(data: CheckedRows) -> Suggestion:
    """Return which column may be which part of a row, with the reasons; an empty one where nothing needs to be said.

    Names come first (``Kundenanfrage`` is a question, ``Antwort des Teams`` an answer). Where they do not tell, the column with
    the longest texts is the prompt and the next one the completion.
    """
    if data.format not in _UNCLEAR and data.report.ok:
        return Suggestion()
    rows = data.rows[:LOOKED_AT]
    texts = {name: values for name in data.columns if (values := _texts(rows, name))}
    columns: dict[str, str] = {}
    reasons: dict[str, str] = {}
    if data.format in _UNCLEAR:
        columns, reasons = _by_name(rows, texts)
        if data.format == "raw" and not _whole(columns):
            _by_length(texts, columns, reasons)
        if not _whole(columns):
            columns, reasons = {}, {}
    return _with_ignored(data, columns, reasons)


def _by_name(
    rows: Sequence[Mapping[str, Any]], texts: Mapping[str, list[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    columns: dict[str, str] = {}
    reasons: dict[str, str] = {}
    names = list(dict.fromkeys((*texts, *(str(column) for row in rows for column in row))))
    for target, words in _WORDS.items():
        found: list[tuple[int, str]] = []  # the earlier word says it better: the body of a mail rather than its subject
        for name in names:
            fits = all(verdict_of(row.get(name)) is not None for row in rows) if target == "label" else name in texts
            place = _place(name, words)
            if fits and place is not None and name not in columns:
                found.append((place, name))
        if found:
            place, name = min(found, key=lambda each: each[0])
            columns[name], reasons[name] = target, f"its name says {words[place]!r}"
    return columns, reasons


def _by_length(texts: Mapping[str, list[str]], columns: dict[str, str], reasons: dict[str, str]) -> None:
    """Fill in prompt and completion by how long the texts are, where names have not told."""
    free = [name for name in texts if name not in columns and not _is_metadata(texts[name])]
    free.sort(key=lambda name: -statistics.fmean(map(len, texts[name])))
    for target, why in (
        ("prompt", "its texts are the longest"),
        ("completion", "its texts are the longest of the others"),
    ):
        if target not in columns.values() and free and "messages" not in columns.values():
            name = free.pop(0)
            columns[name], reasons[name] = target, why


def _with_ignored(data: CheckedRows, columns: dict[str, str], reasons: dict[str, str]) -> Suggestion:
    """Add the columns that would refuse rows; they are known once the rows are read so."""
    try:
        read = data.read_as(columns=columns) if columns else data
    except DataError:
        return Suggestion()
    refusing = {column.name: column for column in read.report.unread if column.refuses}
    ignore = tuple(name for name in data.columns if name in refusing and name not in columns)
    why = {name: f"it holds {refusing[name].kind} that would not be read" for name in ignore}
    return Suggestion(columns, ignore, {**{name: reasons[name] for name in columns}, **why})


def _place(name: str, words: Sequence[str]) -> int | None:
    """Return the place of the first word that a header has, or ends with as German puts words together."""
    said = _said(name)
    return next(
        (
            at
            for at, word in enumerate(words)
            if word in said or (len(word) > 4 and any(w.endswith(word) for w in said))
        ),
        None,
    )


def _whole(columns: Mapping[str, str]) -> bool:
    """Whether what is mapped makes a row with an answer."""
    targets = set(columns.values())
    return "messages" in targets or {"prompt", "completion"} <= targets or {"chosen", "rejected"} <= targets


def _said(name: str) -> set[str]:
    """Return the words of a header without accents: ``Réponse de l'équipe``, ``customerQuestion``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    plain = unicodedata.normalize("NFKD", apart).encode("ascii", "ignore").decode().lower()
    return {*re.findall(r"[a-z]+", plain), plain_name(name)}


def _texts(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Return the texts of a column; none where it mostly holds something else."""
    values = [row[name] for row in rows if not is_empty(row.get(name))]
    texts = [value for value in values if isinstance(value, str)]
    return texts if texts and len(texts) * 2 > len(values) else []


def _is_metadata(texts: Sequence[str]) -> bool:
    """Whether a column holds numbers, times or names of rows rather than something that is said."""
    if all(moment_of(text) is not None for text in texts):
        return True
    return all(re.fullmatch(r"[\w.@#:/-]*\d[\w.@#:/-]*", text.strip()) for text in texts)
