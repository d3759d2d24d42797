"""Personal data in texts and rows: what the ready rules find and leave, and that one value has one mark throughout a row."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.privacy.rules import RULES, Rules, hashed
from shadownb.errors import ConfigError
from tests.trajectories.calls import answer as said_by
from tests.trajectories.calls import call, user

FOUND = {
    "email": ["ann.lee+x@mail.example.co.uk", "müller@büro.example.de", "ann%40example.org", "a@b.io"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "nl91abna0417164300", "NO93-8601-1117-947"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "2223003122003222"],
    "address": ["1600 Pennsylvania Ave NW, Washington, DC 20500", "221B Baker Street, London NW1 6XE"],
    "phone": ["+49 30 1234567", "0049 30 1234567", "+1 (650) 253-0000", "(030) 123 45 67", "+81 3-1234-5678"],
}
LEFT = {
    "email": ["a@b", "@someone", "x at y.com", "f(x)@decorator"],
    "iban": [
        "DE89 3704 0044 0532 0130 01",
        "AB12CDEF0123456789",
        "the ID 12 of that order",
        "de12345678901234567890ff",
    ],
    "card": ["4111 1111 1111 1112", "20261122120000", "1234567890123", "0.4111111111111111"],
    "address": ["step 5 of 10 Road map, NY", "order 10118 of 350 Fifth", "chapter 12, High Street", "2026-11-28 12:00"],
    "phone": ["2026-11-22", "12.5", "3.14159265", "192.168.10.12", "1764369870", "call_660dc8a4884c162d66f8f82"],
}


@pytest.mark.parametrize("rule", list(FOUND))
def test_a_rule_takes_its_kind_and_nothing_else(rule: str) -> None:
    for text in FOUND[rule]:
        assert RULES[rule](f"It is {text}, thanks.") == f"It is [{rule}], thanks."
    for text in LEFT[rule]:
        assert RULES[rule](f"It is {text}, thanks.") == f"It is {text}, thanks."


@pytest.mark.parametrize(
    ("rule", "text", "left"),
    [
        ("phone:DE", "ruf 03012345678 an", "ruf [phone] an"),
        ("phone:US", "call 6502530000 now", "call [phone] now"),
        ("phone:FR", "au 06 12 34 56 78", "au [phone]"),
    ],
)
def test_numbers_as_they_are_written_within_a_country(rule: str, text: str, left: str) -> None:
    assert Rules.of(rule).apply(text, lambda kind, _: f"[{kind}]") == left
    assert Rules.of("card").apply(text, hashed(b"x" * 16)) == text


def test_names_by_a_list(tmp_path: Path) -> None:
    listed = tmp_path / "customers.txt"
    listed.write_text("Ada Lovelace\nWill\n\n", encoding="utf-8-sig")
    rules = Rules.of(["personal", f"name:{listed}"])
    said = rules.apply("ada  LOVELACE and Will will come, Willy not", lambda kind, _: f"[{kind}]")
    assert said == "[name] and [name] will come, Willy not"
    assert "names" not in rules.not_covered()
    assert "names" in Rules.of("personal").not_covered()
    for wrong, word in (
        ("name", "list"),
        (f"name:{tmp_path}/none", "cannot be read"),
        ("phone:Germany", "two letters"),
    ):
        with pytest.raises(ConfigError) as raised:
            Rules.of(wrong)
        assert word in f"{raised.value.what} {raised.value.fix}"
    with pytest.raises(ConfigError, match=r"'emial' is not a rule\..*'email'"):
        Rules.of("emial")


def test_long_texts_of_figures_take_no_time() -> None:
    log = "\n".join(
        f"{n} 10.0.{n % 256}.7 - 2026-11-28T12:{n % 60:02}:00 GET /o/{n * 7919 % 10**9} 200 {n}" for n in range(4000)
    )
    prose = "The lake at 12 High Street was calm; AB1 2CD is no code. " * 4000
    for text in (log, prose, "1 " * 100_000, "a@" * 100_000, "DE12 " * 40_000, "+" * 100_000):
        begin = time.process_time()
        Rules.of("personal").apply(text, hashed(b"x" * 16))
        assert time.process_time() - begin < 8.0 * len(text) / 100_000


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Support of shop@example.org."},
    {"role": "user", "content": "I am ann@example.org, card 4111 1111 1111 1111."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"mail": "ANN@example.org"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": '{"iban": "DE89370400440532013000", "card": 4111111111111111}'},
    {"role": "assistant", "content": "ann@example.org pays with 4111-1111-1111-1111."},
]


def test_rows_are_cleaned_before_training_and_counted() -> None:
    rows = snb.Dataset.from_list([{"messages": TALK}, {"messages": [{"role": "user", "content": "hi"}, TALK[-1]]}])
    clean = rows.redact()
    said = clean.rows[0]["messages"]
    assert said[0]["content"] == "Support of [email 1]."
    assert said[1]["content"] == "I am [email 2], card [card 1]."
    assert json.loads(said[2]["tool_calls"][0]["function"]["arguments"]) == {"mail": "[email 2]"}
    assert json.loads(said[3]["content"]) == {"iban": "[iban 1]", "card": "[card 1]"}
    assert said[4]["content"] == "[email 2] pays with [card 1]."
    assert clean.rows[1]["messages"][1]["content"] == "[email 1] pays with [card 1]."  # each row counts for itself
    assert clean.report.redacted == {"email": 5, "card": 4, "iban": 1}
    assert "taken out: 5 email, 4 card, 1 iban; not covered: names" in str(clean.report)
    assert "not covered: names" in repr(clean)
    assert "example.org" not in json.dumps(clean.canonical_rows())
    assert rows.report.redacted is None
    assert "ann@" in rows.rows[0]["messages"][1]["content"]
    part = clean.split(test_size=1, seed=0)
    assert sum(Counts := [p.report.redacted["email"] for p in part if p.report.redacted]) == 5, Counts


def test_a_set_without_any_says_that_it_was_looked_at() -> None:
    clean = snb.Dataset.from_list([{"text": "calm water"}]).redact(["email", "key"])
    assert clean.report.redacted == {}
    assert clean.report.redacted_line().startswith("taken out: nothing; not covered: IBANs")
    assert clean.report.to_dict()["redacted"] == {}


def test_what_a_recording_marked_is_numbered_in_rows() -> None:
    marks = hashed(b"k" * 16)
    ann, bob = marks("email", "ann@example.org"), marks("email", "bob@example.org")
    assert re.fullmatch(r"\[email [0-9a-f]{4}\]", ann)
    assert ann != bob
    recorded = [call([user(f"{ann} to {bob}")], said_by(f"{ann}, hello; +49 30 1234567"))]
    data = snb.Dataset.from_captures(recorded)
    assert [m["content"] for m in data.rows[0]["messages"]] == [
        "[email 1] to [email 2]",
        "[email 1], hello; +49 30 1234567",
    ]
    assert data.report.redacted == {"email": 3}
    again = snb.Dataset.from_captures(recorded, redact="personal")
    assert again.rows[0]["messages"][1]["content"] == "[email 1], hello; [phone 1]"
    assert again.report.redacted == {"email": 3, "phone": 1}


def test_the_end_of_a_longer_mark_is_no_phone_number() -> None:
    for text in ("order no. 2026-0000-1234", "invoice RE/2026-0012-345678", "part AB-030 1234567"):
        rows = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}]
        assert snb.Dataset.from_list(rows).redact("phone").canonical_rows()[0]["messages"][0]["content"] == text
    for text in ("call 030 1234567", "call: 030/1234567", "(0049 30 1234567)", "tel 555-123-4567"):
        rows = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}]
        assert "[phone 1]" in snb.Dataset.from_list(rows).redact("phone").canonical_rows()[0]["messages"][0]["content"]
