"""Before the first step: rows to examples, prompts to sample, and the library's training arguments."""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, TrainingArguments

from shadownb.engine import methods
from shadownb.engine.acceleration import Plan
from shadownb.engine.backends.torch import template_fit
from shadownb.engine.models import as_trained
from shadownb.engine.rendering.examples import Example, examples
from shadownb.engine.rendering.fit import Fit
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.runs.folder import load_rows
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session
    from shadownb.engine.rendering import Renderer

_KEPT_SAMPLE_PROMPTS = 3
_TOLD_REFUSALS = 3
# Pairs of the shipped task's one-line JSON share 95 % and took 68 right answers of 96 to 38, with sft_weight=1 they stayed 68.
# Two samples to one open question share 26 %, a first sentence and its whole answer 26 %.
_ALIKE = 0.75


def examples_of(session: Session, reference: dict[str, Any], unit: str) -> list[Example]:
    """Return the examples of a stored data set, telling what is left out or cut and why.

    Raises
    ------
    DataError
        No row can be rendered, or none has a token to train.
    """
    source = load_rows(reference)
    spec, limit = methods.get(session.config.method), session.max_length
    renderer, fit = session.model.renderer.under(session.config.on_template_drop), Fit()
    kept: list[Example] = []
    refused: list[tuple[int, DataError]] = []
    empty = cut = 0
    for index, row in enumerate(source):
        if index % 32 == 0:
            session.control.check()
            session.phase("preparing data", index, len(source), unit)
        try:
            found = examples(
                renderer,
                row,
                objective=spec.objective,
                loss_on=session.config.loss_on,
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
    reason, remedy = session.model.lengths.how_to_keep_more(session.config)
    if refused:
        _tell_refused(session, reference, unit, len(source), refused)
    if not kept:
        raise template_fit.nothing_to_train(reference["name"], fit, cut, limit, remedy)
    template_fit.tell(session, fit, unit)
    session.model.use_renderer(renderer)  # answers, samples and checkpoints have the template that is trained
    if empty:
        session.warn(
            f"{empty} of {len(source)} {unit} have no token to train and are left out.",
            why=f"They are empty, cut off at max_seq_length={limit}, or have only turns that cannot be trained.",
            fix=f"{remedy}, or look at them with dataset.inspect(model).",
            code="rows-skipped",
        )
    if cut:
        session.warn(
            f"{cut} of {len(source)} {unit} are longer than max_seq_length={limit} and are cut.",
            why=reason,
            fix=f"{remedy}, so that nothing is cut off.",
            code="rows-truncated",
        )
    if spec.objective == "kto" and len({example.desirable for example in kept}) == 1:
        _tell_one_verdict(session, unit, kept)
    if spec.objective == "dpo" and not session.config.sft_weight:
        _tell_alike(session, unit, kept)
    return kept


def _tell_one_verdict(session: Session, unit: str, kept: list[Example]) -> None:
    verdict, other = ("good", "bad") if kept[0].desirable else ("bad", "good")
    session.warn(
        f"All {len(kept):,} answers of the {unit} are {verdict}.",
        why=f"KTO learns from good answers beside bad ones. Without {other} ones there is no reward margin that says whether "
        "it tells them apart.",
        fix=f"Add {other} answers"
        + (", or leave the labels out and train with method='lora'." if kept[0].desirable else "."),
        code="one-verdict",
    )


def _tell_alike(session: Session, unit: str, kept: list[Example]) -> None:
    shared = statistics.median(_shared_tokens(example) for example in kept)
    if shared >= _ALIKE:
        session.warn(
            f"The two answers of the {unit} are much alike: they share {shared:.0%} of their tokens (median).",
            why="Where answers differ in few tokens DPO can make the better one less likely too, and the likelihood goes to "
            "answers that stand in no pair (Pal et al., 2024).",
            fix="Leave sft_weight at 1.0, which keeps the better answers likely; where each prompt has one right answer, "
            "method='lora' on the better answers is the stronger choice.",
            code="pairs-alike",
        )


def _shared_tokens(example: Example) -> float:
    """Return which share of the trained tokens of a pair's two answers stands in both, in any order."""
    first, second = (
        Counter(label for row in side for label in row.labels if label != NOT_TRAINED)
        for side in (example.sequences, example.rejected)
    )
    return 2 * (first & second).total() / max(1, first.total() + second.total())


def _tell_refused(
    session: Session, reference: dict[str, Any], unit: str, total: int, refused: list[tuple[int, DataError]]
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
    session.warn(
        f"{len(refused):,} of {total:,} {unit} cannot be rendered and are left out.",
        why=why,
        fix=fix,
        code="rows-skipped",
    )


def sample_prompts(session: Session, reference: dict[str, Any]) -> list[tuple[str, list[int]]]:
    """Return (what to show, token ids) of the prompts that are answered at evaluation points.

    One that leaves no position for an answer is passed over, with a warning: it must not end a run whose rows are fine.
    """
    config, renderer = session.config, session.model.renderer
    if not config.sample_max_new_tokens:
        return []
    room = session.model.lengths.room_for_rows(config)
    asked: Iterable[tuple[str, Callable[[], list[int]]]]
    if config.sample_prompts:
        asked = ((text, partial(_as_trained, session, text)) for text in config.sample_prompts)
        wanted = len(config.sample_prompts)
    else:
        asked, wanted = _prompts_of(load_rows(reference), renderer), _KEPT_SAMPLE_PROMPTS
    found: list[tuple[str, list[int]]] = []
    long = 0
    for shown, render in asked:
        if len(found) == wanted:
            break
        with contextlib.suppress(DataError):  # a row that is left out of training, and told there
            ids = render()
            if room is not None and len(ids) >= room:
                long += 1
            else:
                found.append((shown, ids))
    if long:
        session.warn(
            f"{long:,} sample prompt{' is' if long == 1 else 's are'} too long to be answered and passed over.",
            why=f"The model has room for {room:,} tokens, prompt and answer together.",
            fix="Give shorter ones with sample_prompts=.",
            code="prompts-skipped",
        )
    return found


def _prompts_of(rows: list[dict[str, Any]], renderer: Renderer) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Yield what to show and how to render it, for each row that has a question."""
    for row in rows:
        messages = row.get("prompt") or _before_last_answer(row.get("messages") or [])
        if messages:
            yield str(messages[-1].get("content") or ""), partial(renderer.render_prompt, messages, row.get("tools"))


def _as_trained(session: Session, text: str) -> list[int]:
    """Return the tokens of a given prompt as the rows would ask it: behind their system prompt, or as plain text."""
    known, renderer = session.trained_on, session.model.renderer
    if as_trained.is_plain(known, None, as_trained.AS_TRAINED, as_trained.AS_TRAINED):
        return renderer.render_text(text)
    asked = [{"role": "user", "content": text}]
    return renderer.render_prompt(*as_trained.conversation(known, asked, as_trained.AS_TRAINED, as_trained.AS_TRAINED))


def _before_last_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages[:-1] if len(messages) > 1 and messages[-1]["role"] == "assistant" else []


@contextlib.contextmanager
def adapters_known(base: PreTrainedModel) -> Iterator[None]:
    """Let the library's trainer accept a quantised base inside the block: it looks for adapters of peft only."""
    before = base._hf_peft_config_loaded
    base._hf_peft_config_loaded = True
    try:
        yield
    finally:
        base._hf_peft_config_loaded = before


def training_arguments(session: Session, plan: Plan) -> TrainingArguments:
    """Return transformers' arguments for the run."""
    config = session.config
    device = session.model.device
    arguments = TrainingArguments(
        output_dir=str(session.folder.path),
        per_device_train_batch_size=config.rows_per_step,
        gradient_accumulation_steps=1,
        max_steps=session.total_steps,
        learning_rate=config.resolved_learning_rate(),
        lr_scheduler_type=config.lr_scheduler_type,
        lr_scheduler_kwargs=config.scheduler_options(session.total_steps),
        warmup_steps=config.resolved_warmup(session.total_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=plan.optimizer[0],
        seed=config.seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=list(config.report_to) or "none",
        run_name=session.folder.id,
        disable_tqdm=True,
        log_level="error",
        use_cpu=device.type == "cpu",
        bf16=device.type == "cuda" and session.model.dtype == torch.bfloat16,
        fp16=device.type == "cuda" and session.model.dtype == torch.float16,
        activation_checkpointing=plan.checkpointing[0],
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    # One device a run: wrapping in DataParallel would undo the packing. More devices are the cluster executors' work.
    arguments.report_to = list(config.report_to)  # transformers adds trackers that it finds in the environment
    _ = arguments.device
    arguments._n_gpu = min(1, arguments.n_gpu)
    if device.type in ("cuda", "xpu"):
        _take_device(arguments, device)
    return arguments


def _take_device(arguments: TrainingArguments, device: torch.device) -> None:
    """Make the model's GPU the one to train on; the library takes the first one, without an option to say otherwise."""
    assert arguments.distributed_state is not None
    arguments.__dict__["_setup_devices"] = device
    arguments.distributed_state.device = device
    torch.accelerator.set_device_index(device)  # of this thread
