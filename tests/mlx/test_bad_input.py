"""Bad input is the same error on both backends: what torch's tests try, of its lists, and what only files can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import ModelError, ShadowError
from tests.engine.methods_data import OPTIONS, chats, documents, logits, pairs, verdicts
from tests.engine.test_bad_input import WRONG
from tests.engine.test_methods_refusals import NO_EFFECT, WRONG_SHAPE

ONE_STEP = {**OPTIONS, "max_steps": 1, "background": False}
ROWS = {"dpo": pairs, "kto": verdicts, "cpt": documents}
# (method, rows, options); those of options come from the lists of the torch backend's tests.
CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    **{f"data {n}": ("lora", data, {}) for n, data in enumerate(([], [{}], [{"x": 1}], [{"messages": []}], None, 7))},
    **{name: (method, rows, {}) for name, (method, rows, _) in WRONG_SHAPE.items()},
    **{
        f"{' '.join(options)} {n}": (str(options.get("method", "lora")), None, options)
        for n, (options, _) in enumerate(WRONG)
        if "max_length" not in options  # which is above the positions of another model there
    },
    **{f"{method} {option}": (method, None, {option: value}) for method, option, value in NO_EFFECT},
    "a share that is none": ("lora", None, {"eval_dataset": 1.5}),
    "callbacks": ("lora", None, {"callbacks": [object()]}),
    "rows too long": ("lora", None, {"max_length": 8}),
    "more than its positions": ("lora", None, {"max_length": 1025}),
}  # fmt: skip
# Of what the backends differ in by their nature; each says so in words of its own.
OWN = ("report_to", "optim", "callbacks")


@pytest.fixture(scope="module")
def both(home: Path, byte_model_dir: Path) -> tuple[Any, Any]:
    """Two loaded models that no test trains."""
    made = [snb.load(str(byte_model_dir), backend=name, dtype="float32", max_length=256) for name in ("torch", "mlx")]
    return made[0], made[1]


def told(work: Callable[[], Any], backend: str) -> tuple[str, str]:
    with pytest.raises((ShadowError, TypeError)) as caught:
        work()
    if isinstance(caught.value, ShadowError):
        assert caught.value.fix, "it says no next step"
    return type(caught.value).__name__, str(caught.value).replace(f"on {backend} ", "on BACKEND ")


@pytest.mark.parametrize("name", CASES)
def test_a_training_that_cannot_be_is_the_same_error(both: tuple[Any, Any], name: str) -> None:
    method, data, options = CASES[name]
    rows = data if name.startswith("data") or data is not None else ROWS.get(method, chats)()
    if snb.methods.known(method) and snb.methods.backends(method)["mlx"] is not None:
        pytest.skip("the method is not there, which has a test of its own")
    found, made = [], []
    for model in both:
        given = {**ONE_STEP, "method": method, **options}
        before = len(snb.runs.list())
        found.append(told(lambda model=model, given=given: model.train(rows, **given), model.backend_name))
        made.append(len(snb.runs.list()) - before)
    if any(option in options for option in OWN):
        assert found[0][0] == found[1][0]
        return
    if "embed_tokens" in found[0][1]:  # which torch alone can train
        found = [(kind, text.split("\nNext")[0]) for kind, text in found]
    assert found[1] == found[0]
    assert made[1] == made[0] and both[1].weights.kind is None


def test_what_the_table_says_is_what_a_model_says(both: tuple[Any, Any]) -> None:
    """Told of the class, before anything is loaded, and of a loaded model; a method that is there may still not fit a base."""
    for spec in snb.methods.available():
        told = snb.methods.backends(spec.name)
        assert told["torch"] is None
        blocked = both[1].blocked(spec.name)
        assert ("is not there on backend mlx" in (blocked or "")) == (told["mlx"] is not None), (spec.name, blocked)


def test_the_next_training_works(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), backend="mlx", dtype="float32", max_length=256)
    before = logits(model)
    for options in ({"max_length": 8}, {"target_modules": "sideways"}, {"method": "dpo"}):
        told(lambda options=options: model.train(chats(), **{**ONE_STEP, **options}), "mlx")
    assert (logits(model) == before).all()
    assert model.train(chats(), **ONE_STEP).status == "succeeded"


def torn(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:200]) and None


def without_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def without_a_shard(folder: Path) -> None:
    in_shards(folder)
    next(iter(sorted(folder.glob("model-*-of-*.safetensors"), reverse=True))).unlink()


def in_shards(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names, where = sorted(tensors), {}
    for part in range(3):
        file = f"model-{part + 1:05d}-of-00003.safetensors"
        own = names[part::3]
        save_file({name: tensors[name] for name in own}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(own, file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


BROKEN: dict[str, Callable[[Path], Any]] = {
    "torn config": torn("config.json"),
    "torn weights": torn("model.safetensors"),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "a tensor short": without_a_tensor,
    "a shard short": without_a_shard,
    "torn tokenizer": torn("tokenizer.json"),
    "no tokenizer": lambda folder: [file.unlink() for file in folder.glob("tokenizer*")],
    "an unknown architecture": lambda folder: changed(folder, model_type="no_such_model", architectures=["NoSuch"]),
    "a size that is none": lambda folder: changed(folder, hidden_size=7),
}  # fmt: skip


def changed(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.fixture
def copied(home: Path, byte_model_dir: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "model"
    shutil.copytree(byte_model_dir, folder)
    yield folder


@pytest.mark.parametrize("how", BROKEN)
def test_a_folder_that_holds_no_whole_model(copied: Path, how: str) -> None:
    BROKEN[how](copied)
    kinds = []
    for backend in ("torch", "mlx"):
        with pytest.raises(ModelError) as caught:
            snb.load(str(copied), backend=backend)
        assert caught.value.fix and caught.value.why, str(caught.value)
        kinds.append(type(caught.value))
    assert kinds[0] is kinds[1]


def test_weights_in_shards_are_read(copied: Path, both: tuple[Any, Any]) -> None:
    in_shards(copied)
    model = snb.load(str(copied), backend="mlx", dtype="float32", max_length=256)
    assert (logits(model) == logits(both[1])).all()
    same, why = model.verify_base()
    assert same, why
