"""Before the first step: rows to examples, and prompts to sample."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from shadownb.engine import objectives
from shadownb.engine.loaded import as_trained
from shadownb.engine.objectives import examples
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.fit import Fit
from shadownb.engine.runs import template_fit
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.services import SamplePrompt
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.rendering import Renderer
    from shadownb.engine.runs.services import RunServices

_KEPT_SAMPLE_PROMPTS = 3
_TOLD_REFUSALS = 3


def examples_of(services: RunServices, reference: dict[str, Any], unit: str) -> list[Example]:
    """Return the examples of a stored data set, telling what is left out or cut and why.

    Raises
    ------
    DataError
        No row can be rendered, or none has a token to train.
    """
    source = load_rows(reference)
    spec, limit = services.config.spec, services.max_length
    renderer, fit = services.model.renderer.under(services.config.on_template_drop), Fit()
    kept: list[Example] = []
    refused: list[tuple[int, DataError]] = []
    empty = cut = 0
    for index, row in enumerate(source):
        if index % 32 == 0:
            services.control.check()
            services.phase("preparing data", index, len(source), unit)
        try:
            found = examples(
                renderer,
                row,
                objective=spec.objective,
                loss_on=services.config.loss_on,
                max_length=limit,
                long_rows=spec.long_rows,
            )
        except DataError as error:
            refused.append((index, error))
            fit.refuse(error)
            continue
        fit.add(found)
        useful = [example for example in found if example.trains]
        cut += any(sequence.truncated_tokens for example in found for sequence in example.rows)
        empty += not useful
        kept.extend(useful)
    reason, remedy = services.model.lengths.how_to_keep_more(services.config)
    if refused:
        _tell_refused(services, reference, unit, len(source), refused)
    if not kept:
        raise template_fit.nothing_to_train(reference["name"], fit, cut, limit, remedy)
    template_fit.tell(services, fit, unit)
    services.model.use_renderer(renderer)  # answers, samples and checkpoints have the template that is trained
    if empty:
        services.warn(
            f"{empty} of {len(source)} {unit} have no token to train and are left out.",
            why=f"They are empty, cut off at max_length={limit}, or have only turns that cannot be trained.",
            fix=f"{remedy}, or look at them with dataset.inspect(model).",
            code="rows-skipped",
        )
    if cut:
        services.warn(
            f"{cut} of {len(source)} {unit} are longer than max_length={limit} and are cut.",
            why=reason,
            fix=f"{remedy}, so that nothing is cut off.",
            code="rows-truncated",
        )
    return [replace(example, id=f"{unit}/{number}") for number, example in enumerate(kept)]


def _tell_refused(
    services: RunServices, reference: dict[str, Any], unit: str, total: int, refused: list[tuple[int, DataError]]
) -> None:
    """Say which rows cannot be rendered, where to find them and why; raise where there is no other."""
    places = [f"line {index + 1}: {error.what.rstrip('.')}" for index, error in refused[:_TOLD_REFUSALS]]
    more = f"; and {len(refused) - len(places):,} more" if len(refused) > len(places) else ""
    why = f"{reference['path']}, {'; '.join(places)}{more}."
    fix = refused[0][1].fix
    if len(refused) == total:
        raise DataError(
            f"None of the {total:,} {unit} of {reference['name']!r} can be rendered.",
            why=why,
            fix=fix,
            code=refused[0][1].code,
        )
    services.warn(
        f"{len(refused):,} of {total:,} {unit} cannot be rendered and are left out.",
        why=why,
        fix=fix,
        code="rows-skipped",
    )


def speaks(config: TrainConfig) -> bool:
    """Whether what is trained answers with text."""
    return bool(config.spec.guest) or objectives.get(config.spec.objective).speaks


def sample_prompts(services: RunServices, reference: dict[str, Any]) -> list[SamplePrompt]:
    """Return the prompts that are answered at evaluation points.

    One that leaves no position for an answer is passed over, with a warning: it must not end a run whose rows are fine.
    """
    config, renderer = services.config, services.model.renderer
    if not config.sample_max_new_tokens or not speaks(config):
        return []
    room = services.model.lengths.room_for_rows(services.config)
    asked: Iterable[tuple[str, Callable[[], list[int]], str | None]]
    if config.sample_prompts:
        asked = ((text, partial(_as_trained, services, text), None) for text in config.sample_prompts)
        wanted = len(config.sample_prompts)
    else:
        asked, wanted = _prompts_of(load_rows(reference), renderer), _KEPT_SAMPLE_PROMPTS
    found: list[SamplePrompt] = []
    long = 0
    for shown, render, expected in asked:
        if len(found) == wanted:
            break
        with contextlib.suppress(DataError):  # a row that is left out of training, and told there
            ids = render()
            if room is not None and len(ids) >= room:
                long += 1
            else:
                found.append(SamplePrompt(shown, ids, expected))
    if long:
        services.warn(
            f"{long:,} sample prompt{' is' if long == 1 else 's are'} too long to be answered and passed over.",
            why=f"The model has room for {room:,} tokens, prompt and answer together.",
            fix="Give shorter ones with sample_prompts=.",
            code="prompts-skipped",
        )
    return found


def _prompts_of(
    rows: list[dict[str, Any]], renderer: Renderer
) -> Iterator[tuple[str, Callable[[], list[int]], str | None]]:
    """Yield what to show, how to render it and what the row answers, for each row that has a question."""
    for row in rows:
        messages = row.get("prompt") or _before_last_answer(row.get("messages") or [])
        if messages:
            render = partial(renderer.render_prompt, messages, row.get("tools"))
            yield str(messages[-1].get("content") or ""), render, _expected(row)


def _expected(row: dict[str, Any]) -> str | None:
    """Return the answer that a row means: the last turn, the preferred one, one that was judged good; None where it has none."""
    answer = row.get("chosen") or row.get("messages")
    if answer is None and row.get("label") is not False:
        answer = row.get("completion")
    if isinstance(answer, str):
        return answer
    content = answer[-1].get("content") if answer else None
    return content if isinstance(content, str) and content else None


def _as_trained(services: RunServices, text: str) -> list[int]:
    """Return the tokens of a given prompt as the rows would ask it: behind their system prompt, or as plain text."""
    known, renderer = services.trained_on, services.model.renderer
    if as_trained.is_plain(known, None, as_trained.AS_TRAINED, as_trained.AS_TRAINED):
        return renderer.render_text(text)
    asked = [{"role": "user", "content": text}]
    return renderer.render_prompt(*as_trained.conversation(known, asked, as_trained.AS_TRAINED, as_trained.AS_TRAINED))


def _before_last_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages[:-1] if len(messages) > 1 and messages[-1]["role"] == "assistant" else []
