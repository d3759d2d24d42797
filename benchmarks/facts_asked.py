"""Trains what tells whether two questions ask the same of a thing: a low-rank change of all-MiniLM-L6-v2, shipped with the package.

``python benchmarks/facts_asked.py [--epochs 6]`` takes the wordings of ``facts_wordings/`` and writes the factors into
``shadownb/engine/backends/torch``; 20 minutes of two cores. ``--held-out services`` leaves a file of wordings out, writes nothing,
and says how often two wordings of one question are nearer than those of any other question of its family, before and after.

Every batch has all questions of a few families in two wordings each. What is made larger is the share of a question's other wording
among those of its family; wordings of other families weigh less, because there a question may come again.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, normalize
from transformers import AutoModel, AutoTokenizer

from shadownb.engine import routing
from shadownb.engine.backends.torch import embedder as place

HERE = Path(__file__).parent
RANK, RATE, SHARPNESS, FAMILIES, OTHERS = 16, 1e-3, 1 / 0.07, 4, 0.3
_WORD = re.compile(r"[A-Za-z]+")
_IT = re.compile(r"\b(the |a |an )?it( it)*\b")
Batch = tuple[list[str], list[str], torch.Tensor]
Family = tuple[list[str], list[list[str]]]  # kinds of things, and of each question its wordings


def families(leave_out: str = "") -> list[Family]:
    found: list[Family] = []
    for file in sorted((HERE / "facts_wordings").glob("*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines() if file.stem != leave_out else ():
            if line.startswith("#"):
                found.append(([kind.strip() for kind in line[1:].split(",")], []))
            elif line:
                found[-1][1].append(line.split(" | "))
    return found


def thing(drawn: random.Random, kinds: list[str]) -> str:
    """What stands for a thing once its names are taken out: often with its kind, as people say it."""
    kind = drawn.choice(kinds)
    return drawn.choice(["it", "it", "it", f"it {kind}", f"it {kind}", f"{kind} it", f"the {kind} it"])


def said(form: str, it: str) -> str:
    return _IT.sub("it", form.replace("{it}'s", it).replace("{it}", it))


class Encoder:
    """all-MiniLM-L6-v2 with a low-rank change on every linear layer of its blocks."""

    def __init__(self) -> None:
        source = place._packaged() or place._HUB
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source)
        base = AutoModel.from_pretrained(source, dtype=torch.float32)
        layers = ["query", "key", "value", "dense"]
        config = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules=layers, exclude_modules=["pooler.dense"], lora_dropout=0.0
        )
        self.model: Any = get_peft_model(base, config)

    def vectors(self, texts: list[str], parts: int = 4) -> torch.Tensor:
        """Vectors of length 1; texts of like length go together, so that little is padded."""
        ids = [self.tokenizer.encode(text, truncation=True, max_length=96) for text in texts]
        order = sorted(range(len(texts)), key=lambda number: len(ids[number]))
        size = -(-len(texts) // parts)
        found: list[Any] = [None] * len(texts)
        for at in range(0, len(order), size):
            part = order[at : at + size]
            batch = self.tokenizer.pad({"input_ids": [ids[number] for number in part]}, return_tensors="pt")
            states = self.model(**batch).last_hidden_state
            there = batch["attention_mask"][..., None].float()
            made = normalize((states * there).sum(1) / there.sum(1), dim=1)
            for number, vector in zip(part, made, strict=True):
                found[number] = vector
        return torch.stack(found)

    def change(self) -> dict[str, torch.Tensor]:
        """``down`` and ``up`` of each layer, whose product is added to its weight; in 8 bits, the largest of a row is 127."""
        tensors = {}
        for name, layer in self.model.base_model.model.named_modules():
            if hasattr(layer, "lora_A"):
                sides = {
                    "down": layer.lora_A["default"].weight,
                    "up": layer.scaling["default"] * layer.lora_B["default"].weight,
                }
                for side, weight in sides.items():
                    largest = weight.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
                    tensors[f"{name}.{side}"] = (weight.detach() / largest * 127).round().to(torch.int8)
                    tensors[f"{name}.{side}.step"] = largest / 127
        return tensors


def batch_of(some: list[Family], drawn: random.Random) -> Batch:
    one: list[str] = []
    other: list[str] = []
    of: list[int] = []
    for number, (kinds, lines) in enumerate(some):
        mostly = thing(drawn, kinds)
        for forms in lines:
            for side, form in zip((one, other), drawn.sample(forms, 2), strict=True):
                side.append(said(form, mostly if drawn.random() < 0.6 else thing(drawn, kinds)))
            of.append(number)
    return one, other, torch.tensor(of)


def loss_of(encoder: Encoder, batch: Batch) -> torch.Tensor:
    one, other, of = batch
    vectors = encoder.vectors(one + other)
    alike = vectors[: len(one)] @ vectors[len(one) :].T * SHARPNESS
    alike = torch.where(of[:, None] == of[None], alike, alike + math.log(OTHERS))
    right = torch.arange(len(one))
    return (cross_entropy(alike, right) + cross_entropy(alike.T, right)) / 2


def train(encoder: Encoder, every: list[Family], epochs: int) -> None:
    trained = [parameter for parameter in encoder.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    total, done, mean = epochs * (len(every) // FAMILIES), 0, 0.0
    for epoch in range(epochs):
        drawn = random.Random(epoch)
        order = drawn.sample(every, len(every))
        for at in range(0, len(order) - FAMILIES + 1, FAMILIES):
            loss = loss_of(encoder, batch_of(order[at : at + FAMILIES], drawn))
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (done + 1) / 40) * max(0.02, 1 - done / total)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            done += 1
            mean = float(loss) if done == 1 else 0.95 * mean + 0.05 * float(loss)
            if done % 50 == 0:
                print(f"step {done} of {total}: loss {mean:.3f}", flush=True)


@torch.no_grad()
def right(encoder: Encoder, held_out: list[Family]) -> str:
    drawn, found = random.Random(0), []
    for family in held_out:
        one, other, _ = batch_of([family], drawn)
        vectors = encoder.vectors(one + other)
        found += ((vectors[: len(one)] @ vectors[len(one) :].T).argmax(1) == torch.arange(len(one))).tolist()
    return f"{sum(found)} of {len(found)} questions are nearest to their other wording in their family"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--held-out", default="")
    given = parser.parse_args()
    torch.manual_seed(0)
    encoder, every = Encoder(), families(given.held_out)
    print(f"{len(every)} families, {sum(len(lines) for _, lines in every)} questions", flush=True)
    if given.held_out:
        known = [str(family) for family in every]
        held_out = [family for family in families() if str(family) not in known]
        print(right(encoder, held_out), flush=True)
    train(encoder, every, given.epochs)
    if given.held_out:
        print(right(encoder, held_out))
        return
    save_file(encoder.change(), place.ASKED, {"wordings": wordings_hash()})
    vocabulary = encoder.tokenizer.get_vocab()
    found = {word.lower() for _, lines in every for forms in lines for form in forms for word in _WORD.findall(form)}
    words = sorted(word for word in found if word not in vocabulary and word != "it")
    (Path(routing.__file__).parent / "ordinary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def wordings_hash() -> str:
    """Of what was trained on, so that a test tells when the shipped factors are of other wordings."""
    files = sorted((HERE / "facts_wordings").glob("*.txt"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


if __name__ == "__main__":
    main()
