"""Scores, tags and costs: what an app and a user say of calls is there where episodes are chosen; costs by call site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shadownb.engine.capture import CaptureStore, capture, captures
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.spending import estimate
from shadownb.errors import ConfigError, DataError
from tests.capture.conftest import CANARY, WEB
from tests.capture.plenty import plenty
from tests.capture.test_pass_through import BODIES, PATHS, auth
from tests.capture.test_store import say
from tests.capture.upstream import Upstream

ROUTE = "/shadownb/feedback"


def post(proxy: CaptureProxy, body: dict[str, Any]) -> Any:
    return WEB.post(proxy.root_url + ROUTE, json=body, headers=auth(proxy))


def test_an_app_sends_feedback_by_the_id_that_it_got(proxy: CaptureProxy, upstream: Upstream) -> None:
    answer = WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=auth(proxy))
    call = answer.headers["x-shadownb-call"]
    assert proxy.calls[0].id == call
    assert post(proxy, {"call": call, "score": 1, "note": f"good, by {CANARY}"}).json()["call"] == call
    assert post(proxy, {"response_id": answer.json()["id"], "score": 0.25, "name": "tone"}).status_code == 200
    assert post(proxy, {"call": call, "score": 0}).status_code == 200
    found = proxy.calls[0].scores
    assert [(score.name, score.value) for score in found] == [("score", 1.0), ("tone", 0.25), ("score", 0.0)]
    assert found[0].note.startswith("good, by ") and CANARY not in found[0].note
    (episode,) = proxy.trajectories()
    assert (episode.reward, episode.metrics) == (0.0, {"tone": 0.25})
    assert len(upstream.seen) == 1, "it goes nowhere else"
    for body, status in (
        ({"call": "call_no", "score": 1}, 404), ({"score": 1}, 400), ({"call": call}, 400), ({"call": call, "score": "x"}, 400),
        ({"call": call, "score": 1, "name": "1 2"}, 400), ({"call": call, "note": 7}, 400),
    ):  # fmt: skip
        assert post(proxy, body).status_code == status, body
    assert WEB.post(proxy.root_url + ROUTE, json={"call": call, "score": 1}).status_code == 401


def test_bodies_that_no_app_should_send_are_refused_and_none_is_kept_as_it_came(proxy: CaptureProxy) -> None:
    say(proxy, "one")
    call = proxy.calls[0].id
    for given, status in (
        ('"call": "\\ud800", "score": 1', 404), (f'"call": "{call}", "score": 1{"0" * 400}', 400),
        (f'"call": "{call}", "score": NaN', 400), (f'"call": "{call}", "score": 1, "name": "{CANARY}"', 400),
        (f'"call": "{call}", "note": "{"x" * 70_000}"', 413),
        (f'"call": "{call}", "note": "half \\ud800"', 200),
    ):  # fmt: skip
        content = f"{{{given}}}".encode()
        assert WEB.post(proxy.root_url + ROUTE, content=content, headers=auth(proxy)).status_code == status, given[:90]
    assert [score.note for score in proxy.calls[0].scores] == ["half \ufffd"]
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in proxy.files.path.glob("*.sqlite*"))


def test_what_a_recording_removes_is_removed_from_notes(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Ada Lovelace\n")
    with capture(upstream.url, redact=["email", f"name:{tmp_path / 'names.txt'}"]) as proxy:
        say(proxy, "Hello")
    store = CaptureStore.open(proxy.store.id)
    told = f"Ada Lovelace (ada@example.com) used {CANARY}; send the next to her."
    note = store.score(store.calls()[0].id, 0.0, note=told).note
    assert note.endswith("send the next to her.")
    assert not any(word in note for word in ("Ada", "ada@", CANARY))
    assert store.scores()[store.calls()[0].id][0].note == note


def test_scores_may_be_numbers_of_numpy_and_go_to_no_call_that_is_deleted_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = plenty(3, home=tmp_path, seed=4)
    first, second, _ = store.calls()
    assert store.score(first.id, np.float32(0.5)).value == 0.5 and store.score(first.id, np.int64(1)).value == 1.0
    found = store.find(second.id)
    monkeypatch.setattr(store, "find", lambda _: found)
    store.delete(second.id)
    with pytest.raises(DataError, match="no call"):
        store.score(second.id, note="left behind")
    assert list(store.scores()) == [first.id]


def test_scores_reach_lists_groups_and_go_with_the_calls(tmp_path: Path) -> None:
    store = plenty(200, home=tmp_path, seed=4)
    store.index.catch_up()
    episodes = sorted(store.trajectories(), key=len)
    store.score(episodes[-1], 1.0)
    store.score(episodes[-2].call_ids[0], 0.5, name="score")
    store.score(episodes[0].call_ids[0], note="Look at this one.")
    best = store.episodes(sort="best", limit=2)
    assert [row["score"] for row in best] == [1.0, 0.5]
    assert best[0]["call_id"] == episodes[-1].call_ids[-1]
    assert store.count(scored=True) == 3 and store.count(scored="score") == 2 and store.count(scored=False) == 197
    rewards = {t.reward for t in store.trajectories()}
    assert rewards == {None, 0.5, 1.0}
    store.index.drop()
    assert [row["score"] for row in store.episodes(sort="best", limit=2)] == [1.0, 0.5], "an index made anew has them"
    assert captures.delete("plenty", where="Look at this one", home=tmp_path) is not None
    assert store.count(scored=True) == 2 and len(store.scores()) == 2
    store.delete(*episodes[-1].call_ids)
    assert list(store.scores()) == [episodes[-2].call_ids[0]]
    with pytest.raises(DataError, match="no call"):
        store.score("nothing", 1.0)
    for wrong in ({"value": float("nan")}, {"value": None}, {"value": 1.0, "name": ""}):
        with pytest.raises(ConfigError):
            store.score(episodes[-2].call_ids[0], **wrong)  # type: ignore[arg-type]


def test_tags_are_kept_and_do_not_go_on(proxy: CaptureProxy, upstream: Upstream) -> None:
    say(proxy, "one", headers={"x-shadownb-tags": "feature=triage, env=prod"})
    say(proxy, "two", headers={"x-shadownb-tags": f"feature=search, key={CANARY}"})
    say(proxy, "three")
    assert not any(name.startswith("x-shadownb") for seen in upstream.seen for name in seen.headers)
    one = proxy.store.calls(tag="feature=triage")
    assert [call.tags for call in one] == [{"feature": "triage", "env": "prod"}]
    assert len(proxy.store.calls(tag="feature")) == 2 and CANARY not in json.dumps(
        [c.tags for c in proxy.store.calls()]
    )
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in proxy.files.path.glob("*.sqlite*"))
    spent = {each.site: each.calls for each in proxy.store.costs("tag:feature")}
    assert spent == {"triage": 1, "search": 1, "": 1}
    tags = [("x-shadownb-tags", "a=größe".encode()), ("x-shadownb-tags", b"b=2")]  # in UTF-8, and in two headers
    given = [*((name, value.encode()) for name, value in auth(proxy).items()), *tags]
    WEB.post(proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers=given)
    assert proxy.store.calls(tag="a=größe")[0].tags == {"a": "größe", "b": "2"}
    for many in ("a=" + "x" * 201, ",".join(f"t{n}=1" for n in range(17))):
        sent = WEB.post(
            proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers={**auth(proxy), "x-shadownb-tags": many}
        )
        assert sent.status_code == 400, many[:20]
    wrong = WEB.post(
        proxy.root_url + PATHS[0], json=BODIES[PATHS[0]], headers={**auth(proxy), "x-shadownb-tags": "no value"}
    )
    assert wrong.status_code == 400 and "x-shadownb-tags" in wrong.json()["error"]["message"]
    proxy.store.delete(one[0].id)
    assert proxy.store.count(tag="env=prod") == 0


def test_costs_by_call_site_and_savings(tmp_path: Path) -> None:
    store = plenty(300, home=tmp_path, seed=6)
    by_model = store.costs("model")
    assert sum(each.calls for each in by_model) == 300
    assert sum(each.cost or 0 for each in by_model) == pytest.approx(store.summary()["cost"])
    assert sum(each.unpriced for each in by_model) == store.summary()["unpriced"]
    assert [each.site[:24] for each in store.costs("system")] == ["You answer customers of "]
    with pytest.raises(ConfigError, match="by='colour'"):
        store.costs("colour")
    found = captures.savings(
        "plenty", hour=1.0, tokens_per_s=100, prompt_tokens_per_s=1000, training=10.0, home=tmp_path
    )
    priced = [call for call in store.calls() if call.cost is not None]
    usage = [call.usage or {} for call in priced]
    hours = sum(u["prompt_tokens"] / 1000 + u["completion_tokens"] / 100 for u in usage) / 3600
    assert (found.calls, found.own_hours, found.own) == (len(priced), pytest.approx(hours), pytest.approx(hours))
    assert found.now == pytest.approx(sum(call.cost or 0 for call in priced)) and found.unpriced == 300 - len(priced)
    gain = (found.now - found.own) / len(priced)
    assert found.break_even_calls is not None and found.break_even_calls * gain == pytest.approx(10.0, abs=gain)
    assert "paid for itself" in repr(found) and "have no price" in repr(found)
    never = captures.savings("plenty", hour=1e6, tokens_per_s=1, home=tmp_path)
    assert never.break_even_calls is None and "does not pay" in repr(never)
    with pytest.raises(ConfigError, match="tokens_per_s=0"):
        captures.savings("plenty", hour=1.0, tokens_per_s=0, home=tmp_path)
    with pytest.raises(ConfigError, match="prompt_tokens_per_s=0"):
        captures.savings("plenty", hour=1.0, tokens_per_s=1, prompt_tokens_per_s=0, home=tmp_path)


def test_tokens_that_nobody_told_are_estimated_and_marked(proxy: CaptureProxy, upstream: Upstream) -> None:
    async def silent(seen: Any, reply: Any) -> None:
        message = {"role": "assistant", "content": "word " * 40}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await reply.json({"model": model, "choices": [choice]})

    model = "gpt-4o"
    upstream.answer = silent
    say(proxy, "x" * 400)
    call = CaptureStore.open(proxy.id).calls()[0]
    assert call.usage is None and call.cost is None, "an estimate is no usage"
    guess = estimate(call)
    assert guess is not None and 100 <= guess["prompt_tokens"] <= 110 and 50 <= guess["completion_tokens"] <= 55
    (spent,) = proxy.store.costs("model")
    assert (spent.estimated, spent.cost, spent.unpriced) == (1, None, 0) and spent.estimated_cost > 0

    model = "nobody-prices-this"
    WEB.post(
        proxy.root_url + PATHS[0],
        json={"model": model, "messages": [{"role": "user", "content": "x"}]},
        headers=auth(proxy),
    )
    (unpriced,) = (each for each in proxy.store.costs("model") if each.site == model)
    assert (unpriced.estimated, unpriced.unpriced, unpriced.total) == (1, 1, 0.0)
    found = captures.savings(proxy.id, hour=1.0, tokens_per_s=100)
    assert (found.calls, found.unpriced, found.estimated) == (1, 1, 1), "none without a price, on either side"
    with pytest.raises(DataError, match="has a price"):
        captures.savings(proxy.id, hour=1.0, tokens_per_s=100, model=model)


def test_costs_and_savings_in_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shadownb.cli import main

    store = plenty(30, home=tmp_path / "home", seed=6)
    assert main(["capture", "costs", "plenty", "--by", "model"]) == 0
    said = capsys.readouterr().out
    for spent in store.costs("model"):
        (line,) = (line for line in said.splitlines() if line.split()[0] == spent.site)
        assert line.split()[1] == str(spent.calls) and (f"${spent.total:.4f}" in line) == (spent.cost is not None)
    prices = tmp_path / "prices.yaml"
    prices.write_text("models: {none: {input: 1, output: 1}}")
    assert main(["capture", "savings", "plenty", "--hour", "1", "--tokens-per-s", "100", "--prices", str(prices)]) == 0
    assert repr(captures.savings("plenty", hour=1, tokens_per_s=100, home=tmp_path / "home")) in capsys.readouterr().out
    assert main(["capture", "savings", "plenty", "--hour", "1"]) != 0
    assert "--tokens-per-s" in capsys.readouterr().err
    assert main(["capture", "calls", "plenty", "--hour", "1"]) != 0
    assert "--hour belongs to capture savings" in capsys.readouterr().err


def test_scores_and_tags_in_a_shell(
    proxy: CaptureProxy, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    from shadownb.cli import main

    say(proxy, "Where is my parcel?", headers={"x-shadownb-tags": "feature=triage"})
    say(proxy, "Hello")
    proxy.stop()
    name, first = proxy.store.id, proxy.store.calls()[0].id
    assert main(["capture", "score", name, "--call", first, "--value", "0.5", "--note", "Too short."]) == 0
    assert main(["capture", "score", name, "--call", first, "--value", "1", "--of", "tone"]) == 0
    assert [(s.name, s.value, s.note) for s in proxy.store.scores()[first]] == [
        ("score", 0.5, "Too short."),
        ("tone", 1.0, ""),
    ]
    capsys.readouterr()
    assert main(["capture", "calls", name, "--tag", "feature=triage"]) == 0
    (line,) = capsys.readouterr().out.strip().splitlines()[1:]
    assert "Where is my parcel?" in line and "0.5, tone 1" in line and first in line
    assert main(["capture", "tags", name]) == 0
    assert capsys.readouterr().out.split() == ["tag", "calls", "feature=triage", "1"]
    assert main(["capture", "score", name, "--value", "1"]) != 0
    assert "--call" in capsys.readouterr().err
    assert main(["capture", "score", name, "--call", "nothing", "--value", "1"]) != 0
    assert "no call 'nothing'" in capsys.readouterr().err
