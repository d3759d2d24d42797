"""The model card: what it was trained on and how, how good it is, under which licences, made of records and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb._version import __version__
from shadownb.engine.exports.lineage import Facts, data_of
from shadownb.engine.exports.result import Export

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

FILE = "README.md"
# Where captured answers come from, by the host that gave them: whose terms may say what may be trained on them.
TERMS = {
    "api.openai.com": ("OpenAI", "https://openai.com/policies/services-agreement/"),
    "api.anthropic.com": ("Anthropic", "https://www.anthropic.com/legal/commercial-terms"),
    "generativelanguage.googleapis.com": ("Google", "https://ai.google.dev/gemini-api/terms"),
    "api.mistral.ai": ("Mistral AI", "https://mistral.ai/terms"),
    "api.x.ai": ("xAI", "https://x.ai/legal/terms-of-service-enterprise"),
    "api.deepseek.com": (
        "DeepSeek",
        "https://cdn.deepseek.com/policies/en-US/deepseek-open-platform-terms-of-service.html",
    ),
}


def write(exported: Export, model: LoadedModel) -> Path:
    """Write the card into the export's folder."""
    target = exported.path / FILE
    target.write_text(text_of(exported, model), encoding="utf-8")
    return target


def text_of(exported: Export, model: LoadedModel) -> str:
    """Return the card as Markdown with the hub's front matter."""
    base, facts = model.public_name, data_of(model)
    licence, of_base = licence_of(model)
    head: dict[str, Any] = {"base_model": base, "license": licence, "library_name": _LIBRARIES.get(exported.format, "transformers"),
                            "tags": ["shadownb", exported.format]}  # fmt: skip
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", "",
             f"# {model.name}, fine-tuned", ""]  # fmt: skip
    lines += _training(model, facts)
    lines += _data(facts)
    lines += _quality(exported)
    lines += ["## Licences", "", f"- Base model {base}: {of_base}.", *(_terms(facts)), ""]
    lines += ["## How to run it", "", "```bash", *commands(exported, model), "```", ""]
    lines += [f"Written by ShadowNB {__version__} from the run's record.", ""]
    return "\n".join(lines)


_LIBRARIES = {"gguf": "gguf", "gguf-lora": "gguf", "mlx": "mlx", "adapter": "peft"}


def licence_of(model: LoadedModel) -> tuple[str, str]:
    """Return (the base's licence as its card says, the same in words); ``unknown`` where no card says one."""
    for place in _places(model):
        try:
            text = (place / FILE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if text.startswith("---"):
            for line in text.split("---", 2)[1].splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "license" and value.strip():
                    found = value.strip().strip("\"'")
                    return found, found
    return "unknown", "its licence is unknown here: look at its own card before you pass this model on"


def _places(model: LoadedModel) -> list[Path]:
    from shadownb.engine.loaded.hashing import weight_files

    return [file.parent for file in weight_files(model.source)[:1]]


def _training(model: LoadedModel, facts: Facts) -> list[str]:
    lines = ["## Training", ""]
    if model.trained is None:
        return [*lines, "It carries nothing that a run of ShadowNB has trained.", ""]
    run, step = model.trained
    lines.append(f"Method {facts.method}, step {step}{f' of {facts.steps}' if facts.steps else ''}, run `{run}`.")
    if facts.options:
        said = ", ".join(f"{name} {value}" for name, value in facts.options.items())
        lines.append(f"Options other than the defaults: {said}.")
    return [*lines, ""]


def _data(facts: Facts) -> list[str]:
    lines = ["## Data", ""]
    if facts.name is None:
        return [*lines, "What it was trained on is not known here.", ""]
    lines.append(f"{facts.rows:,} rows of {facts.name!r} (sha256 {facts.sha256[:12]}).")
    if facts.held_out:
        lines.append(f"{facts.held_out:,} rows were held out and measured on.")
    lines += [f"- {count:,} rows {what}." for what, count in facts.left_out.items() if count]
    if facts.captures:
        lines.append(f"{facts.captures:,} of the rows come from recorded calls; secrets and personal data were taken out when "
                     "they were recorded.")  # fmt: skip
    return [*lines, ""]


def _quality(exported: Export) -> list[str]:
    if not exported.quality:
        return []
    rows = exported.rows()
    kept = [head for head in rows[0] if any(row[head] for row in rows)]
    lines = [
        "## Quality",
        "",
        f"Against {exported.reference}.",
        "",
        f"| {' | '.join(kept)} |",
        f"|{'---|' * len(kept)}",
    ]
    lines += [f"| {' | '.join(row[head] for head in kept)} |" for row in rows]
    first = exported.quality[0]
    types = ", ".join(f"{count} {name}" for name, count in first.types.items())
    lines += ["", f"Tensors of {first.name}: {types}.", exported.recommendation]
    return [*filter(None, lines[:-1]), lines[-1], ""] if exported.recommendation else [*lines[:-1], ""]


def _terms(facts: Facts) -> list[str]:
    return [
        f"- Rows contain answers of {TERMS[host][0]} ({host}), whose terms say what may be trained on them: {TERMS[host][1]}"
        if host in TERMS
        else f"- Rows contain answers of {host}: its terms say what may be trained on them."
        for host in facts.providers
    ]


def commands(exported: Export, model: LoadedModel) -> list[str]:
    """Return how the files are served, one command an engine."""
    files = sorted(name for name in exported.files if name.endswith(".gguf"))
    if exported.format == "gguf" and files:
        return [f"llama-server -m {files[0]} --jinja", f"ollama create {model.name} -f Modelfile",
                "python -c \"import shadownb as snb; print(snb.load('.', backend='llamacpp').generate('Hello'))\""]  # fmt: skip
    if exported.format == "gguf-lora" and files:
        return [f"llama-server -m {model.name}-f16.gguf --lora {files[0]} --jinja"]
    if exported.format == "adapter":
        rank = _rank(exported.path)
        more = f" --max-lora-rank {rank}" if rank and rank > 16 else ""
        return [f"vllm serve {model.public_name} --enable-lora{more} --lora-modules tuned=."]
    if exported.format == "mlx":
        return ["mlx_lm.server --model ."] if (exported.path / "config.json").is_file() else [
            f"mlx_lm.server --model {model.public_name} --adapter-path ."
        ]  # fmt: skip
    return ["vllm serve .", "transformers serve ."]


def _rank(folder: Path) -> int | None:
    try:
        said = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("r")
    except (OSError, ValueError):
        return None
    return said if isinstance(said, int) else None
