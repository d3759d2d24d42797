"""JSON from strangers is bounded where it is read, and what is written is JSON for every reader."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb.engine import jsontext
from shadownb.engine.jsontext import MAX_DEPTH, Unreadable, dumps, loads


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
def test_depth_has_one_limit(opening: str) -> None:
    levels = opening.count("[") + opening.count("{")
    closing = "".join({"[": "]", "{": "}"}[c] for c in reversed(opening) if c in "[{")
    for count, readable in (
        (MAX_DEPTH // levels, True),
        (MAX_DEPTH // levels + 1, False),
        (3000, False),
        (200_000, False),
    ):
        text = opening * count + "1" + closing * count
        for given_ in (text, text.encode()):
            if readable:
                copy.deepcopy(loads(given_))
                assert json.loads(dumps(loads(given_))) == loads(given_)
            else:
                with pytest.raises(Unreadable, match=f"deeper than the {MAX_DEPTH} levels"):
                    loads(given_)


def test_length_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "MAX_BYTES", 1000)
    assert loads('"' + "x" * 900 + '"')
    with pytest.raises(Unreadable, match="1,102 bytes, more than the 1,000"):
        loads(b'"' + b"x" * 1100 + b'"')


def test_what_is_no_json_is_no_json() -> None:
    for text in ("", "{", "[[[", "no", '{"a" 1}', b"\xff\xfe"):
        with pytest.raises(ValueError) as refused:
            loads(text)
        assert not isinstance(refused.value, Unreadable)


def test_numbers_halves_and_wrong_bytes() -> None:
    assert loads("[1e999, NaN, 1" + "0" * 5000 + "]")[0] == math.inf
    assert dumps(loads("[1e999, NaN, -Infinity, 1" + "0" * 5000 + ", 1.5]")) == "[null, null, null, null, 1.5]"
    assert loads('{"\\ud800": "a\\udfffb \\ud83d\\ude00"}') == {"\ufffd": "a\ufffdb \U0001f600"}
    assert loads('"\ud800"') == "\ufffd"
    assert loads(b'"\xff"') == "\ufffd"
    assert loads('{"a": 1, "a": 2}') == {"a": 2}
    assert dumps({"a": "\ud83d\ude00\ud800", "b": object}).startswith('{"a": "\U0001f600\ufffd", "b": "<class')


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_whatever_is_written_is_read_by_everybody(value: object) -> None:
    text = dumps(value)
    text.encode("utf-8")
    json.loads(text, parse_constant=pytest.fail)
    assert dumps(loads(text)) == text
