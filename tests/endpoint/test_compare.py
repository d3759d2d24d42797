"""Base, tuned and rented model on the same rows: who is asked, what counts, what a failure is, and what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import live
from shadownb.engine.evals import compare
from shadownb.engine.inference import Reply, Sampling
from shadownb.errors import ConfigError, EndpointError, ShadowWarning
from tests.endpoint.server import Upstream, by_text, echoes, in_turn, refuses, says


class Own:
    """A model with a base beside it: the base knows nothing, the tuned weights know it all."""

    trained = ("run", 3)

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def chat(self, conversations: list[list[dict[str, Any]]], *, use: str, **options: Any) -> list[Reply]:
        words = [turns[-1]["content"] for turns in conversations]
        self.asked.append((use, words))
        return [Reply(f"echo: {word}" if use == "tuned" else "?") for word in words]


def rows(*words: str) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": word}, {"role": "assistant", "content": f"echo: {word}"}]}
        for word in words
    ]


def test_three_sides_on_the_same_rows(made: Any, server: Upstream) -> None:
    rented = made(in_turn(refuses(503), by_text(c=says("wrong"))), concurrency=1)
    rented.chat([{"role": "user", "content": "before"}])
    result = compare(Own(), rows("a", "b", "c", "d"), snb.Exact(), against=rented, max_new_tokens=9)
    assert result.sides == ("base", "tuned", "gpt-4o")
    assert (result.base, result.tuned, result.mean("gpt-4o")) == (0.0, 1.0, 0.75)
    assert result.rows[2].others[0].text == "wrong" and result.rows[2].answers[2].score == 0
    assert result.gap("tuned", "gpt-4o")[0] == 0.25
    assert result.mean_interval("gpt-4o")[0] < 0.75 < result.mean_interval("gpt-4o")[1]
    (cost,) = result.rented
    assert (cost.side, cost.address) == ("gpt-4o", f"{server.url}/v1")
    assert (cost.totals.answered, cost.totals.cost) == (4, pytest.approx(4 * 0.0035)), (
        "what was asked before counts, too"
    )
    text = str(result)
    assert "Base, tuned and gpt-4o on 4 held-out rows" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["gpt-4o", "75.0", "%"] in [line[:3] for line in lines]
    assert ["tuned", "minus", "gpt-4o", "+25.0"] in [line[:4] for line in lines]
    assert f"gpt-4o: at {server.url}/v1, answered as gpt-4o-2024-08-06; 4 answers" in text and "$0.014" in text
    assert "wrong" in result._repr_html_() and "<th>gpt-4o</th>" in result._repr_html_()
    assert list(result.to_frame()["gpt-4o_score"]) == [1, 1, 0, 1]
    summary = json.loads(json.dumps(result.to_dict()))
    assert summary["sides"]["gpt-4o"]["mean"] == 0.75 and summary["rented"][0]["answered"] == 4
    assert repr(result) == "Comparison(4 rows, base=0.000, tuned=1.000, gpt-4o=0.750)"
    sent = server.seen[-1].json
    assert (sent["temperature"], sent["max_tokens"]) == (0.0, 9) and "top_p" not in sent


def test_a_failure_is_counted_and_not_scored(made: Any) -> None:
    own = Own()
    rented = made(by_text(bad=refuses(400, "Too long."), odd=says(None)), max_retries=1)
    result = compare(own, rows("a", "bad", "c", "odd"), snb.Exact(), against={"large": rented})
    assert [row.index for row in result] == [0, 2] and result.mean("large") == 1.0
    reasons = {row.index: row.reason for row in result.unscored}
    assert "large gave no answer (400): The server says: Too long." in reasons[1] and "null" in reasons[3]
    text = str(result)
    assert (
        "2 rows could not be scored and are in no mean: row 1: large gave no answer (400): The server says: Too long."
        in text
    )
    assert "2 failed" in text and "1 asked again (no answer in it: 1" in text
    assert own.asked == [("base", ["a", "c"]), ("tuned", ["a", "c"])], (
        "rows that cannot count were answered all the same"
    )
    assert rented.totals.answered == 2, "what was paid for was asked again"


def test_a_wrong_key_or_option_shows_before_anything_is_computed(made: Any, server: Upstream) -> None:
    own = Own()
    with pytest.raises(EndpointError, match="answered 401"):
        compare(own, rows("a", "b"), snb.Exact(), against=made(refuses(401)))
    with pytest.raises(EndpointError, match="Unsupported value: 'temperature'"):
        compare(own, rows(*"abcdefghij"), snb.Exact(), against=made(refuses(400, "Unsupported value: 'temperature'")))
    server.seen.clear()
    with pytest.raises(EndpointError, match="answered 400"):
        compare(own, rows(*map(str, range(40))), snb.Exact(), against=made(refuses(400)), batch_rows=4)
    assert len(server.seen) == 8, "each row was asked, and refused"
    server.seen.clear()
    with pytest.raises(ConfigError, match="top_k=5"):
        compare(own, rows("a"), snb.Exact(), against=made(), sampling=Sampling(temperature=1, top_k=5))
    assert own.asked == [] and server.seen == []


def test_where_the_credit_ends_the_rows_until_then_are_compared(made: Any, server: Upstream) -> None:
    own = Own()
    rented = made(in_turn(echoes, echoes, echoes, refuses(402, "No credit left.")), concurrency=1)
    result = compare(own, rows(*"abcdefgh"), snb.Exact(), against=rented, batch_rows=2)
    assert [row.index for row in result] == [0, 1, 2] and len(result.unscored) == 5
    assert "5 rows could not be scored" in str(result) and "402" in str(result)
    assert len(server.seen) == 4 and [words for use, words in own.asked if use == "base"] == [["a", "b"], ["c"]]


def test_where_nothing_is_answered_the_error_is_the_endpoint_s(made: Any) -> None:
    with pytest.raises(EndpointError, match="content is null"):
        compare(Own(), rows("a", "b"), snb.Exact(), against=made(says(None), max_retries=0))


def test_endpoints_alone_are_a_pair(made: Any) -> None:
    large, small = made(), made(model="gpt-4o-mini")
    result = compare(large, rows("a", "b"), snb.Exact(), against=small)
    assert result.sides == ("gpt-4o", "gpt-4o-mini") and result.ties == 2
    assert "gpt-4o-mini minus gpt-4o" in str(result) and "gpt-4o and gpt-4o-mini on 2" in str(result)
    assert len(result.rented) == 2
    with pytest.raises(ConfigError, match=r"gpt-4o has no base(.|\n)*against="):
        compare(large, rows("a"), snb.Exact())
    with pytest.raises(ConfigError, match="Two of those compared are called 'gpt-4o'"):
        compare(large, rows("a"), snb.Exact(), against=made())
    with pytest.raises(ConfigError, match="answers no conversations"):
        compare(Own(), rows("a"), snb.Exact(), against="gpt-4o")


def test_what_was_paid_for_is_kept_and_another_endpoint_knows_nothing_of_it(made: Any, server: Upstream) -> None:
    def broken(output: str, expected: str) -> float | None:
        return 1.0 if output == expected else None  # the base is wrong everywhere

    rented = made()
    with pytest.raises(ConfigError, match="The answers are kept"):
        compare(Own(), rows("a", "b"), broken, against=rented, batch_rows=1)
    again = compare(Own(), rows("a", "b"), snb.Exact(), against=rented, batch_rows=1)
    assert (len(server.seen), again.reused, again.mean("gpt-4o"), again.rented[0].totals.cost) == (2, 2, 1.0, 0.0)
    assert "of the same weights (or endpoint) and prompts" in str(again)
    compare(Own(), rows("a", "b"), snb.Exact(), against=made(by_text(a=says("x"))), batch_rows=1)
    assert len(server.seen) == 4, "another model may stand behind the same name today"
    rented.extra_body["seed"] = 3
    compare(Own(), rows("a", "b"), snb.Exact(), against=rented, batch_rows=1)
    compare(Own(), rows("a", "b"), snb.Exact(), against=rented, batch_rows=1, reuse_answers=False)
    assert len(server.seen) == 8


def test_progress_counts_all_sides(made: Any) -> None:
    seen: list[tuple[int, int]] = []
    rented = made(by_text(b=refuses(400)))
    compare(
        Own(), rows("a", "b", "c"), snb.Exact(), against=rented, batch_rows=2,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(2, 9), (4, 9), (6, 9), (7, 9), (8, 9), (9, 9)]


def test_the_line_of_progress_says_that_an_endpoint_is_asked_again(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    measures: list[Any] = []
    monkeypatch.setattr(live, "tell", lambda phase, measure: measures.append(measure))

    def scored(output: str, expected: str) -> float:
        said.extend(measure()[0] for measure in measures)
        return float(output == expected)

    compare(Own(), rows("a"), scored, against=made(in_turn(refuses(429), echoes)))
    assert said[-1] == "3 of 3 answers, 1 requests made again"


def test_an_empty_answer_is_told(made: Any) -> None:
    result = compare(Own(), rows("a", "b"), snb.Exact(), against=made(by_text(b=says(""))))
    assert result.mean("gpt-4o") == 0.5 and result.rows[1].others[0].notes == ("empty",)
    assert "Answers that are empty: 0 of the base, 0 of the tuned, 1 of gpt-4o." in str(result)
    again = compare(Own(), rows("a", "b"), snb.Exact(), against=made(by_text(b=says("echo: b", None))))
    assert "The server gave no finish_reason, so it may be cut: 0 of the base, 0 of the tuned, 1 of gpt-4o." in str(
        again
    )


def test_a_loaded_model_and_the_same_model_behind_an_address_score_alike(byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    data = rows("hello", "what is it", "one two three")
    said = model.chat([row["messages"][:1] for row in data[:2]], max_new_tokens=8, temperature=0.0)
    for row, reply in zip(data, said, strict=False):
        row["messages"][1]["content"] = reply.content
    with snb.capture(model) as proxy, pytest.warns(ShadowWarning, match="not trained"):
        rented = snb.Endpoint(proxy.base_url, model="any", api_key=proxy.token)
        result = compare(model, data, snb.Exact(), against=rented, max_new_tokens=8)
    assert (result.base, result.tuned, result.mean("any")) == (pytest.approx(2 / 3),) * 3
    assert [row.tuned for row in result] == [row.others[0].text for row in result]
    (again,) = {row.others for row in compare(model, data[:1], snb.Exact(), against={"other": model}, max_new_tokens=8)}
    assert again[0].text == said[0].content, "a second loaded model may stand beside it as well"
