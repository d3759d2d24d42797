"""A person is deleted by what is written of them: from recordings, rows, samples and answers; what learned of them is marked."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb import cli
from shadownb.engine.capture import CaptureStore, capture, captures
from shadownb.engine.home import home
from shadownb.errors import ConfigError, DataError, RunError
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, event, stream
from tests.tiny_models import byte_llama_of

NAME = "Zoë Quill-Adams"
ASKED = {
    "escaped": "I am Zo\u00eb Quill-Adams.",
    "in capitals, over two lines": "ZO\u00cb\nQUILL-ADAMS here",
    "as an argument": json.dumps(json.dumps({"customer": "Zoë Quill-Adams"})),
}


def ask(proxy: Any, *said: str, session: str = "", **more: Any) -> None:
    turns = [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(said)]
    headers = {**auth(proxy), **({"x-session-id": session} if session else {})}
    WEB.post(proxy.root_url + PATHS[0], json={"model": "m", "messages": turns, **more}, headers=headers)


def left(store: CaptureStore) -> bytes:
    raw = b"".join(path.read_bytes() for path in sorted(store.path.iterdir()) if path.is_file())
    return raw + b"".join(call.request_body + call.response_body for call in store)


@pytest.mark.parametrize("how", list(ASKED))
def test_the_whole_conversation_goes_and_no_other(upstream: Upstream, how: str) -> None:
    with capture(upstream.url, name="one") as proxy:
        ask(proxy, "hello")
        ask(proxy, "hello", "echo: hello", ASKED[how])
        ask(proxy, "hello", "echo: hello", ASKED[how], f"echo: {ASKED[how]}", "and then?")
        ask(proxy, "Zoe Quill is another", session="s")
        planned = captures.delete(where=NAME, dry_run=True)
        assert planned is not None
        assert (dict(planned.calls), proxy.store.count()) == ({"one": 3}, 4)
        gone = captures.delete(where=NAME)
    assert gone is not None
    assert dict(gone.calls) == {"one": 3}
    store = captures.open("one")
    assert [call.title for call in store] == ["Zoe Quill is another"]
    assert b"Quill-Adams" not in left(store)
    assert len(store.history.up_to(None)) == 0
    assert captures.delete(where=NAME).calls == {}  # type: ignore[union-attr]


def test_what_a_stream_says_in_pieces_and_headers_are_found(upstream: Upstream) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
        deltas = [{"content": text} for text in ("I know Zo", "ë Qui", "ll-Ad", "ams, ", "card 4111")]
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        await stream(reply, [*(event({**head, "choices": [choice]}) for choice in choices), b"data: [DONE]\n\n"])

    upstream.answer = answer
    with capture(upstream.url, name="one") as proxy:
        ask(proxy, "who?", stream=True)
        ask(proxy, "what?", session="+49 30 1234567")
        assert captures.delete("one", where=["zoë quill-adams", "+49301234567"]).calls == {"one": 2}  # type: ignore[union-attr]


def test_what_cannot_be_meant_is_refused(upstream: Upstream) -> None:
    for wrong in ("", "  a ", [], ["fine", "x"]):
        with pytest.raises(ConfigError, match="where="):
            captures.delete(where=wrong)
    with pytest.raises(ConfigError, match="what to delete"):
        captures.delete()
    with pytest.raises(DataError, match="nowhere"):
        captures.delete("nowhere", where=NAME)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run on a customer's row, one that went on from it, one without, and a saved model."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(place / "home"))
        talk = [
            {"role": "user", "content": "Order of Zoë Quill-Adams?"},
            {"role": "assistant", "content": "On its way."},
        ]
        other = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "In the post."}]
        model = snb.load(byte_llama_of(place / "base", 16, 16), dtype="float32")
        options = {"max_steps": 1, "background": False, "lora_r": 2, "sample_max_new_tokens": 4, "eval_steps": 1}
        first = model.train([{"messages": talk}, {"messages": other}], eval_dataset=[{"messages": talk}], **options)
        second = model.train([{"messages": other}], **options)
        model.save(place / "saved")
        third = model.train([{"messages": other}], start="base", **options)
        assert [run.status for run in (first, second, third)] == ["succeeded"] * 3
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained / "home", tmp_path / "copy" / "home")
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "copy" / "home"))
    return tmp_path / "copy"


def test_rows_and_samples_go_and_what_learned_of_them_is_marked(place: Path, trained: Path) -> None:
    third, second, first = snb.runs.list()
    (home() / "answers").mkdir()
    (home() / "answers" / "a.json").write_text('[{"content": "Zo\\u00eb Quill-Adams"}]')
    before = {path: path.read_bytes() for path in home().rglob("*") if path.is_file()}
    planned = captures.delete(where=NAME, dry_run=True)
    assert {path: path.read_bytes() for path in home().rglob("*") if path.is_file()} == before
    gone = captures.delete(where=NAME)
    assert gone is not None
    assert planned is not None
    assert (gone.runs, gone.models, gone.answers) == ([first.id, second.id], [str(trained / "saved")], 1)
    assert (gone.rows[first.id], gone.rows[second.id], gone.samples[first.id] > 0) == (2, 0, True)
    assert {**gone.to_dict(), "notes": []} == {**planned.to_dict(), "notes": []}
    for path in home().rglob("*"):
        if path.is_file():
            assert b"Quill-Adams" not in path.read_bytes(), path
    first, second, third = (snb.runs.load(run.id) for run in (first, second, third))
    assert (first.erased or {})["rows"] == 2
    assert (second.erased or {})["rows"] == 0
    assert third.erased is None
    assert "deleted" in repr(first)
    assert "deleted" not in repr(third)
    assert [run.to_dict()["erased"] is not None for run in snb.runs.list()] == [False, True, True]
    assert json.loads((trained / "saved" / "shadownb.json").read_text())["erased"]["at"] > 0
    reference = first.folder.spec["dataset"]
    assert len(snb.Dataset.load(reference["path"])) == reference["rows"] == 1
    from shadownb.engine.runs.folder import load_rows

    with pytest.raises(RunError, match=r"1 rows of the data .* were deleted") as raised:
        load_rows(reference)
    assert "1 rows that are left" in str(raised.value.fix)
    assert captures.delete(where=NAME).runs == []  # type: ignore[union-attr]


def test_from_the_command_line(
    upstream: Upstream, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture(upstream.url, name="one") as proxy:
        ask(proxy, f"I am {NAME}")
    assert cli.main(["capture", "delete", "--where", NAME, "--dry-run"]) == 0
    assert "Would be deleted: 1 call of 1 capture, 2 rows of 1 run" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    cli.main(["capture", "delete", "--where", NAME])
    assert captures.open("one").count() == 1
    assert cli.main(["capture", "delete", "--where", NAME, "--yes"]) == 0
    assert "Deleted: 1 call" in capsys.readouterr().out
    assert captures.open("one").count() == 0
