"""One thread computes, whoever asks; nothing of the process is changed and nothing is left behind."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import shadownb as snb
from shadownb.engine.backends.mlx import worker
from shadownb.engine.backends.mlx.backend import MlxBackend
from shadownb.engine.loaded import backends
from shadownb.errors import ConfigError, MissingDependencyError, ModelError, OutOfMemoryError, RunError
from tests.engine.conftest import until
from tests.engine.methods_data import OPTIONS, chats
from tests.waiting import wait_for

ASK: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), backend="mlx", dtype="float32", max_length=256)


def test_dozens_of_threads_that_ask_leave_none_behind(model: Any) -> None:
    """MLX itself keeps a thread for every one that computes."""
    model.generate("Hello", **ASK)
    before, said = psutil.Process().num_threads(), []
    for _ in range(12):
        asking = threading.Thread(target=lambda: said.append(model.generate("Hello", **ASK)))
        asking.start()
        asking.join()
        "".join(model.stream("Hello", **ASK))
    run = model.train(chats(), background=True, **{**OPTIONS, "max_steps": 2}).wait(timeout=60)
    assert run.status == "succeeded", run.error
    assert len(set(said)) == 1
    # A thread that has ended is there for a moment, as is the writer of the run's journal.
    wait_for(lambda: psutil.Process().num_threads() <= before + 1)


def test_chats_are_answered_between_the_steps_of_a_training(byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), backend="mlx", dtype="float32", max_length=256)
    run = model.train(chats(), background=True, **{**OPTIONS, "max_steps": 3000, "save_steps": 3000})
    until(run, lambda state: state.step >= 1)
    answers = [model.generate("Hello", **ASK) for _ in range(3)]
    assert run.is_active and len(answers) == 3
    run.stop().wait(timeout=60)
    assert run.status == "stopped"


def test_a_stream_that_is_closed_stops_computing(model: Any) -> None:
    stream = model.stream("Hello", temperature=0.0, max_new_tokens=200, stop=["never"])
    next(iter(stream))
    stream.close()
    assert model.gate.holder is None
    assert model.generate("Hello", **ASK)


def test_ctrl_c_ends_an_answer_and_leaves_the_weights_free(model: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("a signal comes to the main thread")
    started, ended = threading.Event(), threading.Event()
    main = threading.get_ident()

    def work() -> str:
        started.set()
        while not worker.given_up():
            ended.wait(0.01)
        ended.set()
        return "ended"

    def interrupt() -> None:
        started.wait(timeout=120)
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            worker.run(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set(), "nobody may have the weights while something still computes with them"
    assert model.generate("Hello", **ASK)


def test_an_error_comes_to_who_asked(model: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        worker.run(broken)
    assert worker.run(worker.here) and not worker.here()


def test_importing_it_changes_nothing_of_the_process() -> None:
    """mlx-lm's import lowers the limit of open files to 2,048, and its hard limit to 4,096, for good."""
    if platform.system() == "Windows":
        pytest.skip("MLX is not there")
    code = (
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1500, 3000))\n"
        "before = resource.getrlimit(resource.RLIMIT_NOFILE), dict(os.environ)\n"
        "from shadownb.engine.backends.mlx.backend import MlxBackend\n"
        "MlxBackend().warm_up()\n"
        "import mlx_lm\n"
        "assert (resource.getrlimit(resource.RLIMIT_NOFILE), dict(os.environ)) == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_out_of_memory_is_said_as_on_torch(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.backends.mlx import together

    def full(*_: Any) -> Any:
        raise RuntimeError("[malloc] Unable to allocate 1125899906842624 bytes.")

    with monkeypatch.context() as patch:
        patch.setattr(together, "make_prompt_cache", full)
        with pytest.raises(OutOfMemoryError, match="ran out of memory") as caught:
            model.generate("Hello", **ASK)
    assert "max_new_tokens" in caught.value.fix
    assert model.backend.is_out_of_memory(RuntimeError("[metal::malloc] Attempting to allocate 9 bytes"))
    assert not model.backend.is_out_of_memory(RuntimeError("shapes do not match"))


# -- choice ---------------------------------------------------------------------------------------------------------------


def without(patch: pytest.MonkeyPatch, name: str) -> None:
    import importlib.util

    find = importlib.util.find_spec
    patch.setattr(importlib.util, "find_spec", lambda wanted, *more: None if wanted == name else find(wanted, *more))


def test_where_mlx_is_absent_the_error_has_the_line_that_installs_it(
    byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "mlx_lm")
    with pytest.raises(MissingDependencyError) as caught:
        snb.load(str(byte_model_dir), backend="mlx")
    assert "pip install 'shadownb[mlx]'" in caught.value.fix and "mlx-lm" in caught.value.what
    assert snb.load(str(byte_model_dir)).backend_name == "torch"


def test_auto_is_mlx_on_apple_silicon_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backends.chosen("auto")[0] == "torch"
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert backends.chosen("auto") == ("mlx", "MLX is made for Apple silicon")
    assert backends.chosen("torch")[0] == "torch"
    without(monkeypatch, "mlx")
    assert backends.chosen("auto")[0] == "torch" and not MlxBackend().preferred()


def test_what_it_cannot_do_is_said_with_the_reason_before_anything_starts(model: Any) -> None:
    for method in ("miss", "shira", "prompt", "ptuning"):
        assert "not there on backend mlx" in (model.blocked(method) or ""), method
    rows = chats()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"train_embeddings": True}, "train_embeddings=True"),
        ({"optim": "paged_adamw_8bit"}, "optim='paged_adamw_8bit'"),
        ({"report_to": ["tensorboard"]}, "report_to"),
        ({"shards": 2}, "shards"),
        ({"callbacks": [object()]}, "callbacks"),
        ({"target_modules": ["nothing"]}, "nothing"),
    ]
    before = len(snb.runs.list())
    for options, named in refused:
        with pytest.raises((ConfigError, ValueError)) as caught:
            model.train(rows, background=False, **options)
        assert named in str(caught.value), options
    assert len(snb.runs.list()) == before


def test_a_run_goes_on_with_its_own_backend_alone(byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), backend="mlx", dtype="float32", max_length=256)
    run = model.train(chats(), background=True, **{**OPTIONS, "max_steps": 3000, "save_steps": 3000})
    until(run, lambda state: state.step >= 1)
    run.stop().wait(timeout=60)
    other = snb.load(str(byte_model_dir), backend="torch", dtype="float32", max_length=256)
    with pytest.raises(ModelError, match="backend='mlx'"):
        snb.runs.load(run.id).resume(other)
    mark = str(run.checkpoints()[-1].path)
    with pytest.raises(RunError, match="written with backend='mlx', and the model is loaded with 'torch'"):
        other.train(chats(), background=False, resume_from_checkpoint=mark, **{**OPTIONS, "max_steps": 3000})
    assert other.weights.kind is None or other.train(chats(), background=False, **OPTIONS).status == "succeeded"
    assert snb.load(run.id).backend_name == "mlx", "by its id it is loaded as it was trained"
    assert snb.load(run.id, backend="torch", dtype="float32").weights.kind == "lora"


def test_a_worker_that_is_killed_is_gone_on_with_exactly(byte_model_dir: Path) -> None:
    options = {**OPTIONS, "max_steps": 6, "save_steps": 2, "lora_dropout": 0.1}

    def fresh() -> Any:
        return snb.load(str(byte_model_dir), backend="mlx", dtype="float32", max_length=256)

    straight = fresh().train(chats(), background=False, **options)
    run = fresh().train(chats(), executor="process", background=True, **{**options, "max_steps": 6})
    until(run, lambda state: state.step >= 2, timeout=120)
    pid = run.worker_pid if hasattr(run, "worker_pid") else None
    if pid is None:
        pid = next(p.pid for p in psutil.Process().children(recursive=True) if run.id in " ".join(p.cmdline()))
    psutil.Process(pid).kill()
    run.wait(timeout=60)
    again = snb.runs.load(run.id)
    if again.status == "interrupted":
        again.resume().wait(timeout=60)
    assert again.status == "succeeded", again.error
    assert again.losses() == straight.losses()
    final = [each.checkpoint_at().manifest["trained_sha256"] for each in (again, straight)]
    assert final[0] == final[1]


def test_rows_count_alike_whatever_stands_beside_them(model: Any) -> None:
    """What a row is filled up with counts in no loss."""
    rows = [{"prompt": "Hi", "completion": "yes"}, {"prompt": "Long " * 20, "completion": "a longer answer " * 4}]
    together = model.loss(rows)
    counts = [len("yes"), len("a longer answer " * 4)]
    apart = [model.loss([row]) for row in rows]
    tokens = [count + 1 for count in counts]  # with the token that ends the turn
    weighted = sum(a * n for a, n in zip(apart, tokens, strict=True)) / sum(tokens)
    assert together == pytest.approx(weighted, rel=1e-3)
    losses = []
    for size, most in ((2, 4096), (2, 16), (1, 4096)):
        fresh = snb.load(model.source, backend="mlx", dtype="float32", max_length=512)
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 2 // size}
        run = fresh.train(rows, background=False, **{**OPTIONS, **options, "max_tokens_per_forward": most})
        losses.append(run.losses())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4) and losses[2] == losses[0]
