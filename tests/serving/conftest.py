"""Tiny models behind the front, one for each engine that runs here; a home of its own for all tests of a module."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import shadownb as snb

WEB = httpx.Client(timeout=60, trust_env=False)
USER: Any = [{"role": "user", "content": "hello there"}]
ENGINES = ("transformers", "llama.cpp", "mlx")
_NEEDS = {"llama.cpp": "xllamacpp", "mlx": "mlx"}


@pytest.fixture(autouse=True, scope="module")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def gguf_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a GGUF file in 32 bits, with its tokenizer beside it."""
    from transformers import AutoTokenizer

    from shadownb.engine.gguf.model import Facts, write_model

    file = tmp_path_factory.mktemp("tiny-gguf") / "tiny.gguf"
    write_model(tiny_model_dir, file, "f32", Facts("tiny", stops=(2,)))
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(file.parent)
    return file


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The tiny model served by an engine."""
    name = request.param
    if name in _NEEDS and importlib.util.find_spec(_NEEDS[name]) is None:
        pytest.skip(f"{_NEEDS[name]} is not installed")
    source = request.getfixturevalue("gguf_dir" if name == "llama.cpp" else "tiny_model_dir")
    with snb.serve(str(source), engine=name, name="tiny", embeddings=False) as running:
        yield running


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    """The tiny model of torch, loaded here."""
    return snb.load(str(tiny_model_dir), dtype="float32")


@pytest.fixture
def openai_client(server: Any) -> Iterator[Any]:
    import openai

    web = openai.DefaultHttpxClient(verify=False)
    with openai.OpenAI(base_url=server.url, api_key=server.token, max_retries=0, http_client=web) as client:
        yield client


@pytest.fixture
def anthropic_client(server: Any) -> Iterator[Any]:
    import anthropic

    web = anthropic.DefaultHttpxClient(verify=False)
    with anthropic.Anthropic(base_url=server.root_url, api_key=server.token, max_retries=0, http_client=web) as client:
        yield client


def post(server: Any, path: str, body: Any, **options: Any) -> httpx.Response:
    """Ask a server as a client does."""
    return WEB.post(f"{server.url}{path}", json=body, headers={"authorization": f"Bearer {server.token}"}, **options)
