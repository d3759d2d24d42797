"""What the front refuses and how; its limits, its queue, its end; what it tells nobody."""

from __future__ import annotations

import http.client
import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shadownb as snb
from shadownb.errors import BusyError, ConfigError
from tests.serving.conftest import USER, WEB, post
from tests.waiting import wait_for

SECRET = "the parcel of Ada Lovelace"


@pytest.fixture(scope="module")
def own(model: Any) -> Iterator[Any]:
    with snb.serve(model, name="tiny", at_once=2, waiting=1, max_body=2**20) as server:
        yield server


def ask(server: Any, **fields: Any) -> Any:
    return post(server, "/chat/completions", {"model": "tiny", "messages": USER, "max_tokens": 3, **fields})


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "nobody"}, 404, "nobody"),
        ({"model": "tinny"}, 404, "Did you mean 'tiny'"),
        ({"max_tokens": -3}, 400, "max_tokens=-3"),
        ({"max_tokens": "9"}, 400, "max_tokens"),
        ({"messages": "hello"}, 400, "messages"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"unheard_of": 1}, 400, "unheard_of"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, 400, "tokens"),
        ({"messages": [{"role": "user", "content": "x" * (4 * 2**20)}]}, 413, "1048576"),
    ],
)
def test_what_is_wrong_gets_openais_shape_and_the_right_status(own: Any, fields: Any, status: int, says: str) -> None:
    for stream in (False, True):
        got = ask(own, **fields, stream=stream)
        assert got.status_code == status
        error = got.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and says in error["message"]


def test_guards(own: Any) -> None:
    url = f"{own.url}/models"
    good = {"authorization": f"Bearer {own.token}"}
    assert WEB.get(url, headers=good).status_code == 200
    assert WEB.get(url).status_code == 401 and "server's token" in WEB.get(url).text
    assert WEB.get(url, headers={**good, "origin": "https://evil.example"}).status_code == 403
    assert WEB.get(url, headers={**good, "host": "evil.example"}).status_code == 403
    assert WEB.get(f"{own.root_url}/health", headers={"host": "evil.example"}).status_code == 403
    assert WEB.get(f"{own.url}/chat/completions", headers=good).status_code == 405
    assert WEB.get(f"{own.url}/nothing", headers=good).status_code == 404
    assert WEB.post(f"{own.url}/models", headers=good).status_code == 405
    assert WEB.get(url, headers={"x-api-key": own.token, "anthropic-version": "x"}).status_code == 200
    shape = WEB.get(f"{own.url}/messages/zzz", headers={"anthropic-version": "x"}).json()
    assert shape["type"] == "error"


def test_a_full_queue_turns_away_and_a_client_that_leaves_frees_its_place(own: Any, model: Any) -> None:
    body = json.dumps({"model": "tiny", "messages": USER, "max_tokens": 3}).encode()
    headers = {"authorization": f"Bearer {own.token}", "content-type": "application/json"}
    with model.gate.inference():  # nothing is computed meanwhile
        asking = [http.client.HTTPConnection("127.0.0.1", own.port) for _ in range(2)]
        for each in asking:
            each.request("POST", "/v1/chat/completions", body, headers)
        wait_for(lambda: own.stats()["active"] == 2)
        waiting = threading.Thread(target=ask, args=(own,))
        waiting.start()
        wait_for(lambda: own.stats()["waiting"] == 1)
        turned = ask(own)
        assert turned.status_code == 429 and int(turned.headers["retry-after"]) >= 1
        assert turned.json()["error"]["code"] == "rate_limit_exceeded"
        for each in asking:
            each.close()
        wait_for(lambda: own.stats()["active"] == 1 and own.stats()["waiting"] == 0)
    waiting.join()
    assert ask(own).status_code == 200
    assert [line["status"] for line in own.log if line["error"] == "client_gone"] == [499, 499]
    assert own.stats()["turned_away"] == 1


def test_a_client_that_leaves_in_the_middle_ends_its_answer(own: Any, model: Any) -> None:
    body = {"model": "tiny", "messages": USER, "max_tokens": 480, "stream": True, "ignore_eos": True}
    with WEB.stream("POST", f"{own.url}/chat/completions", json=body, headers={"x-api-key": own.token}) as got:
        next(got.iter_lines())
    wait_for(lambda: own.stats()["active"] == 0)
    line = own.log[-1]
    assert (line["status"], line["error"]) == (499, "client_gone"), "and not after all of its tokens"


def test_many_callers_are_answered_together_each_as_alone(model: Any) -> None:
    with snb.serve(model, name="tiny") as server:
        questions = [f"question {n} " * (n % 5 + 1) for n in range(24)]
        alone = [
            model.chat([{"role": "user", "content": q}], max_new_tokens=12, temperature=0, use=("tuned", "base")[n % 2])
            for n, q in enumerate(questions)
        ]
        answers: dict[int, Any] = {}

        def go(number: int) -> None:
            name = ("tiny", "tiny-base")[number % 2]
            answers[number] = ask(
                server,
                model=name,
                messages=[{"role": "user", "content": questions[number]}],
                max_tokens=12,
                temperature=0,
            ).json()["choices"][0]["message"]["content"]

        threads = [threading.Thread(target=go, args=(n,)) for n in range(24)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert [answers[n] for n in range(24)] == [reply.content for reply in alone]


def test_rows_that_are_sampled_differently_and_held_to_forms_share_their_passes(model: Any) -> None:
    with snb.serve(model, name="tiny") as server:
        wanted = [
            {"guided_regex": "[0-9]{9}"}, {"temperature": 0}, {"temperature": 2, "min_p": 1.0}, {"logit_bias": {"40": 100}},
            {"seed": 3}, {"max_tokens": 1},
        ]  # fmt: skip
        alone = [
            ask(server, **{"max_tokens": 20, **each}).json()["choices"][0]["message"]["content"] for each in wanted
        ]
        together: dict[int, str] = {}
        threads = [
            threading.Thread(
                target=lambda n=n: together.update(
                    {n: ask(server, **{"max_tokens": 20, **wanted[n]}).json()["choices"][0]["message"]["content"]}
                )
            )
            for n in range(len(wanted))
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert together[0].isdigit() and len(together[0]) == 9
        for number in (1, 2, 3, 4):
            assert together[number] == alone[number]


def test_the_log_has_a_line_a_request_and_nothing_that_was_said(own: Any) -> None:
    before = len(own.log)
    ask(own, messages=[{"role": "user", "content": SECRET}])
    ask(own, messages=[{"role": "user", "content": SECRET}], unheard_of=SECRET)
    wait_for(lambda: len(own.log) == before + 2)  # a line is written when its answer is out
    log = own.log[before:]
    assert [(line["status"], line["model"], line["route"]) for line in log] == [
        (200, "tiny", "/chat/completions"), (400, "tiny", "/chat/completions"),
    ]  # fmt: skip
    assert log[0]["prompt_tokens"] > 0 and log[0]["completion_tokens"] == 3 and log[0]["first_seconds"] > 0
    for file in own.folder.rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert "Ada" not in text and own.token not in text
    assert own.token not in repr(own) + own._repr_html_()


def test_a_stop_lets_answers_end_and_takes_no_more(model: Any) -> None:
    before = set(threading.enumerate())
    server = snb.serve(model, name="tiny")
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(ask(server, max_tokens=200, ignore_eos=True)))
    asking.start()
    wait_for(lambda: server.stats()["active"] == 1)
    server.stop(wait_s=60)
    asking.join()
    assert answers[0].json()["usage"]["completion_tokens"] == 200
    assert not server.is_running and not (server.folder / "server.json").exists()
    with pytest.raises(Exception, match=r"refused|reset|disconnected"):
        ask(server)
    assert set(threading.enumerate()) <= before, "no thread is left"
    server.stop()


def test_a_stop_that_waits_no_longer_cuts_with_an_error(model: Any) -> None:
    server = snb.serve(model, name="tiny")
    failed: list[Any] = []

    def go() -> None:
        try:
            failed.append(ask(server, max_tokens=490, ignore_eos=True).status_code)
        except Exception as error:
            failed.append(error)

    asking = threading.Thread(target=go)
    asking.start()
    wait_for(lambda: server.stats()["active"] == 1)
    began = time.monotonic()
    server.stop(wait_s=0.1)
    asking.join()
    assert failed and failed[0] != 200 and time.monotonic() - began < 120
    assert model.chat(USER, max_new_tokens=2).finish_reason == "length", "the model is still there"


def test_it_answers_with_live_weights_while_a_run_trains(byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32")
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "yes"}]} for n in range(8)
    ]
    with snb.serve(model, name="tiny") as server:
        base = ask(server, model="tiny-base", temperature=0).json()["choices"][0]["message"]["content"]
        before = ask(server, temperature=0).json()["choices"][0]["message"]["content"]
        assert before == base
        run = model.train(rows, method="lora", max_steps=60, learning_rate=0.02, eval_dataset=None, background=True)
        seen = set()
        while run.is_active and len(seen) < 3:
            seen.add(run.step)
            assert ask(server, temperature=0).status_code == 200
        run.wait()
        asked: Any = [{"role": "user", "content": "q1"}]
        tuned = ask(server, messages=asked, temperature=0).json()["choices"][0]["message"]["content"]
        assert tuned == model.chat(asked, max_new_tokens=3, temperature=0).content
        assert ask(server, model="tiny-base", temperature=0).json()["choices"][0]["message"]["content"] == base
    with snb.serve(model, name="tiny", adapters={"first": run}) as server:
        both = [ask(server, model=name, messages=asked, temperature=0).json() for name in ("first", "tiny")]
        assert both[0]["choices"] == both[1]["choices"] and both[0]["model"] == "first"


def test_the_base_has_a_name_where_it_can_differ(
    model: Any, tiny_model_dir: Path, gguf_dir: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "adapter"
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_dir), LoraConfig(r=2)).save_pretrained(adapter)
    with snb.serve(str(tiny_model_dir), name="it", adapters={"it-base": adapter}, embeddings=False) as server:
        assert server.models == ["it", "it-base"], "the base is the folder itself, so that the name is free"
    with snb.serve(str(adapter), name="it", embeddings=False) as server:
        assert server.models == ["it", "it-base"]
    with snb.serve(model, name="it", embeddings=False) as server:
        assert server.models == ["it", "it-base"], "it may be trained while it is served"
    if importlib.util.find_spec("xllamacpp") is not None:
        with snb.serve(snb.load(str(gguf_dir), backend="llamacpp"), name="it", embeddings=False) as server:
            assert server.models == ["it"], "llama.cpp trains nothing"


def test_options_are_checked_before_anything_starts(model: Any) -> None:
    for options, says in (
        ({"engine": "vlm"}, "Did you mean 'vllm'"),
        ({"engine": "mlx"}, "loaded by transformers"),
        ({"at_once": 0}, "at_once=0"),
        ({"port": 70000}, "port=70000"),
        ({"host": "0.0.0.0"}, "host='0.0.0.0'"),
        ({"token": "short"}, "token="),
        ({"name": ""}, "name=''"),
        ({"adapters": {"tiny": "base"}, "name": "tiny"}, "adapters="),
        ({"api_key_env": "NOBODY"}, "api_key_env"),
        ({"engine_options": ["x"]}, "engine_options"),
    ):
        with pytest.raises(ConfigError) as caught:
            snb.serve(model, **options)
        assert says in caught.value.as_text(), options
    with snb.serve(model) as server, pytest.raises(BusyError, match="cannot be used"):
        snb.serve(model, port=server.port)


def test_embeddings(own: Any) -> None:
    got = post(own, "/embeddings", {"model": "all-MiniLM-L6-v2", "input": ["one", "two"]}).json()
    assert [len(each["embedding"]) for each in got["data"]] == [384, 384] and got["usage"]["prompt_tokens"] == 6
    packed = post(own, "/embeddings", {"model": "all-MiniLM-L6-v2", "input": "one", "encoding_format": "base64"}).json()
    import base64

    import numpy as np

    same = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert np.allclose(same, got["data"][0]["embedding"], atol=1e-6)
    for fields, status in (
        ({"model": "tiny", "input": "x"}, 404),
        ({"model": "all-MiniLM-L6-v2", "input": ""}, 400),
        ({"model": "all-MiniLM-L6-v2", "input": "x", "dimensions": 5}, 400),
        ({"model": "all-MiniLM-L6-v2", "input": "x", "other": 5}, 400),
        ({"input": "x"}, 400),
    ):
        assert post(own, "/embeddings", fields).status_code == status


def test_snippets_and_addresses(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for client in ("openai", "anthropic", "agents"):
        compile(own.snippet(client), client, "exec")
        assert own.token in own.snippet(client) and "tiny" in own.snippet(client)
    with pytest.raises(ConfigError, match="curl"):
        own.snippet("curly")
    assert own.address.proxied is None and own.address.advice == ""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    from importlib import util

    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert "jupyter-server-proxy" in own.address.advice
    monkeypatch.setattr(util, "find_spec", lambda name: object())
    assert own.address.proxied == f"/user/ada/proxy/{own.port}/v1"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_generated_values_of_every_field_are_answered_or_refused(own: Any, data: st.DataObject) -> None:
    from shadownb.engine.answering.fields import FIELDS

    dialect, path, body = data.draw(
        st.sampled_from(
            [
                ("chat", "/chat/completions", {"messages": USER, "max_tokens": 2}),
                ("completions", "/completions", {"prompt": "x", "max_tokens": 2}),
                ("responses", "/responses", {"input": "x", "max_output_tokens": 2}),
                ("messages", "/messages", {"messages": USER, "max_tokens": 2}),
            ]
        )
    )
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(set(FIELDS[dialect]) - {"model"})), _JSON, max_size=2))
    for field in ("n", "max_tokens", "max_output_tokens", "max_completion_tokens"):
        if isinstance(changes.get(field), int):
            changes[field] %= 4
    content = json.dumps({"model": "tiny", **body, **changes}).encode()
    got = WEB.post(f"{own.url}{path}", content=content, headers={"authorization": f"Bearer {own.token}"})
    assert got.status_code in (200, 400, 404), got.text
