"""A page for each training method, made of its spec: what it trains and with which options, and when to take another."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from reference_pages import option_table, table_row

from shadownb.engine import capabilities, methods, objectives, registry
from shadownb.engine.config_fields import config_fields
from shadownb.engine.methods import MethodSpec
from shadownb.engine.methods.spec import GROUPS

_TRAINED = {
    "lora": "low-rank adapters on linear layers and fused experts; the base stays unchanged",
    "layers": "an adapter of another kind on linear layers; the base stays unchanged",
    "prompt": "learned embeddings before every prompt; the base stays unchanged",
    "bias": "the bias vectors of the model, where it has any",
    "bottleneck": "a small bottleneck network after every block; the base stays unchanged",
    "weights": "every weight of the base",
    "facts": "low-rank factors for each fact beside the last feed-forward layer, added where a question asks for it",
}
_BASE = {
    None: "in any number format",
    True: 'in 4 or 8 bits: `snb.load(name, quantize="4bit")`',
    False: "in 16 or 32 bits, not quantised",
}
_LONG = {"cut": "are cut", "split": "are split into sequences that lose no token"}
_ROWS = {
    "text": "documents.jsonl",
    "preference": "pairs.jsonl",
    "unpaired_preference": "verdicts.jsonl",
    "prompt": "prompts.jsonl",
}


def navigation() -> list[tuple[str, str]]:
    """Return title and page of each, those of a group together."""
    order = list(GROUPS)
    specs = sorted(_ours(), key=lambda spec: order.index(spec.group) if spec.group in order else len(order))
    return [(f"{spec.title}", page(spec)) for spec in specs]


def page(spec: MethodSpec) -> str:
    """Return the address of a method's page."""
    return f"methods/{spec.name.replace(':', '-')}.md"


def _ours() -> list[MethodSpec]:
    """Return the methods of this package, whatever plugins are installed where the pages are built."""
    names = [name for name in registry.names("method") if registry.target("method", name).startswith("shadownb.")]
    return [methods.get(name) for name in names]


def pages() -> Iterator[tuple[str, str]]:
    """Yield each page."""
    for spec in _ours():
        yield page(spec), text(spec)


def overview() -> str:
    """Return the table that the page of all methods ends with."""
    rows = [
        table_row([f"[`{spec.name}`]({page(spec)})", spec.hint, spec.data_shape, f"{spec.default_learning_rate:g}"])
        for spec in _ours()
    ]
    head = ["", "", "## All methods", "", "| method | what it does | data | default rate |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def text(spec: MethodSpec) -> str:
    """Return a method's page."""
    rows = _ROWS.get(spec.data_formats[0], "rows.jsonl")
    quantize = ', quantize="4bit"' if spec.quantized_base else ""
    scored = bool(objectives.get(spec.objective).functions)
    call = ', reward_fns=["rewards:mine"]' if scored else ""
    flags = f"{' --reward-fns rewards:mine' if scored else ''}{' --quantize 4bit' if quantize else ''}"
    facts = {
        "What is trained": _TRAINED.get(spec.adapter, spec.adapter),
        "The loss": _loss(spec),
        "Your rows": f"{spec.data_shape} (formats {', '.join(f'`{name}`' for name in spec.data_formats)})",
        "Rows longer than `max_length`": _LONG[spec.long_rows],
        "The base": _BASE[spec.quantized_base],
        "Default learning rate": f"{spec.default_learning_rate:g}; {spec.rate_source}",
    }
    if spec.defaults:
        facts["Its other defaults"] = ", ".join(f"`{name}={value}`" for name, value in spec.defaults)
    support = capabilities.supported_fields(spec.name)
    own = {*spec.fields, *objectives.get(spec.objective).honoured()}
    honoured = [field for field in config_fields(spec.objective) if support.get(field.name, "no") is None]
    first = [field for field in honoured if field.name in own]
    rest = [field for field in honoured if field.name not in own and field.name != "method"]
    defaults = {**dict(spec.defaults), "learning_rate": f"{spec.default_learning_rate:g}"}
    lines = [
        f"# {spec.title}",
        "",
        spec.hint,
        "",
        '=== "Notebook"',
        "",
        "    ```python",
        "    import shadownb as snb",
        "",
        f'    model = snb.load("smollm2-135m"{quantize})',
        f'    run = model.train(snb.Dataset.load("{rows}"), method="{spec.name}"{call})',
        "    ```",
        "",
        '=== "Shell"',
        "",
        "    ```",
        f"    shadownb train {rows} --model smollm2-135m --method {spec.name}{flags}",
        "    ```",
        "",
        "| | |",
        "|---|---|",
        *(table_row([f"**{name}**", value]) for name, value in facts.items()),
        "",
        *(["## When not", "", *(f"- {reason}" for reason in spec.when_not), ""] if spec.when_not else []),
        "## Its own options",
        "",
        *(option_table(first, **defaults) if first else ["None beyond those of every training."]),
        "",
        '??? note "Options shared with other methods"',
        "",
        *(f"    {line}" for line in option_table(rest, **defaults)),
        "",
        "An option that is not listed here is refused for this method, and never silently ignored.",
        "",
        "For a comparison with the other methods (time, memory, right answers, forgetting) see the notebook "
        "[Twelve methods on one task](../../notebooks/01_methods.ipynb) and the [measured figures](../../benchmarks/README.md).",
        "",
    ]
    return "\n".join(lines)


def _loss(spec: MethodSpec) -> str:
    kind = objectives.get(spec.objective)
    module = inspect.getmodule(kind)
    words = (inspect.getdoc(module) or inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    return f"{words.rstrip('.')} (objective `{spec.objective}`, a mean over {kind.unit})"
