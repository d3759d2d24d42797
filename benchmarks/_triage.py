"""More held-out rows of the shipped task than ship: label combinations and wordings that stand in no training row.

A request for each intent and a remark for each urgency, all written for this and not from the shipped rows, are put
together at random from a seed, for the 48 combinations that training never shows. A row that shares a sentence or a run
of six words with a training row is left out, as the shipped held-out rows would be. Made of parts, these rows are plainer
than those that were written one by one: use them to tell two formats apart, not to say how good a model is.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from typing import Any

INTENTS = ("payment", "cancel", "delivery", "help", "return", "repair")
PRODUCTS = ("camera", "keyboard", "lamp", "monitor", "printer", "router", "speaker", "tablet")
URGENCIES = ("high", "normal", "low")
ROWS = 624  # 13 of each combination
_RUN = 6  # words

_REQUESTS = {
    "payment": (
        "My card statement shows two debits for one {}.",
        "Please post me an invoice made out to our firm for the {}.",
        "I see a surcharge on the {} bill that nobody explained.",
        "The voucher was not deducted when I paid for the {}.",
        "Which tax rate did you put on the {} receipt?",
        "I lost the receipt of the {}, can you issue it anew?",
        "The amount you took for the {} is above the advertised price.",
        "Our bookkeeping needs the billing address of the {} invoice corrected.",
        "Why does the {} appear as two instalments on my account?",
        "The sum on the {} invoice does not add up.",
    ),
    "cancel": (
        "Kindly stop the {} order before it ships.",
        "I changed my mind about the {} I ordered this morning; drop the order.",
        "Take the {} off my open order, the other items can stay.",
        "We bought the {} elsewhere, so do not send ours.",
        "Please call off the pending {} purchase.",
        "The {} was added to the basket by my toddler; annul that order.",
        "Do not dispatch the {}, I no longer want it.",
        "I would like my unshipped {} order voided.",
        "Scrap the order for the {}, it has not left your depot.",
        "Can the {} order be withdrawn while it is still being packed?",
    ),
    "delivery": (
        "The courier's page has said 'in transit' for my {} since Monday.",
        "On which day will the {} be brought to me?",
        "The {} was marked as handed over, yet no parcel is here.",
        "Has my {} left your depot?",
        "Nobody can tell me where the parcel with the {} is.",
        "The {} was due two weeks ago and has not turned up.",
        "Could you look up the consignment number of the {}?",
        "The van went past our house with the {} still on board.",
        "Half of my parcel came, but the box with the {} did not.",
        "I am still without the {} that you shipped.",
    ),
    "help": (
        "How can I set the clock of the {}?",
        "Where is the reset switch of the {} to be found?",
        "What is the right way to pair the {} with my phone?",
        "Can you explain how the {} is switched to night mode?",
        "I cannot work out which menu changes the language of the {}.",
        "How does one clean the {} without scratching it?",
        "Which setting turns off the beeps of the {}?",
        "How would I update the firmware of the {}?",
        "Please tell me how to mount the {} on a wall.",
        "Is there a guide that shows how to use the timer of the {}?",
    ),
    "return": (
        "The {} does not suit us; we want to give it back for a refund.",
        "I have posted the {} back and expect my money.",
        "Please take the {} back and repay me.",
        "The {} arrived broken, and I would rather have the price refunded.",
        "The {} is unopened; how do I hand it back and get reimbursed?",
        "I am not happy with the {} and ask for the purchase price back.",
        "Our {} went back to you last week, the refund is missing.",
        "The {} is too large for my desk, I want to return it for cash.",
        "Can I exchange the {} for my money?",
        "I wish to send off the {} and be paid back in full.",
    ),
    "repair": (
        "The {} makes a grinding noise since yesterday.",
        "A switch of the {} has come loose.",
        "My {} will not turn on any more.",
        "The casing of the {} has a crack, please mend it.",
        "The {} shuts itself off after a minute.",
        "Water got into the {} and now it flickers; can your workshop look at it?",
        "One socket of the {} is bent and holds no plug.",
        "The {} has stopped responding to any button.",
        "The {} you sold me is defective and should be put right.",
        "The power lead of the {} has a loose contact.",
    ),
}
_REMARKS = {
    "high": (
        "There is a smell of burning plastic in the room.",
        "It must be sorted out before midnight.",
        "I have to have an answer by tomorrow at nine.",
        "My staff are sitting idle at this moment because of it.",
        "I got an electric shock from a bare wire.",
        "Smoke is rising behind the table right now.",
        "We cannot open the practice today until this is settled.",
        "My flight leaves this evening, so it has to be done today.",
        "I am stuck at a client's site and unable to work.",
        "It was hot enough to scorch the table, a fire is only a matter of time.",
    ),
    "normal": (
        "I bought it in your Leeds branch.",
        "My customer number is on the enclosed slip.",
        "This is the third message I write about it!",
        "Thank you for looking into it.",
        "I am rather annoyed, to be frank.",
        "You can reach me by mail.",
        "It was a gift from my brother.",
        "The order was placed under my wife's name.",
        "NOT what I expect from a shop like yours!!!",
        "Regards from Porto.",
    ),
    "low": (
        "It can easily wait until after the holidays.",
        "Take as long as you like.",
        "No rush at all on my side.",
        "I merely wonder, it is of no importance.",
        "Some time next season is soon enough.",
        "Deal with it whenever there is a quiet afternoon.",
        "It hardly matters to me when you get to it.",
        "There is no deadline, answer at your leisure.",
        "Next month would be early enough.",
        "I ask out of curiosity only.",
    ),
}


def rows(count: int = ROWS, seed: int = 0) -> list[dict[str, Any]]:
    """Return chat rows of the task, as many of each held-out combination as ``count`` allows, always the same for a seed."""
    import shadownb as snb

    train = [row["messages"] for row in snb.Dataset.sample("support-triage").canonical_rows()]
    system = train[0][0]["content"]
    known = {run for messages in train for run in _runs(_words(messages[1]["content"]))}
    sentences = {sentence for messages in train for sentence in _sentences(messages[1]["content"])}
    held_out = [
        combination
        for combination in itertools.product(range(len(INTENTS)), range(len(PRODUCTS)), range(len(URGENCIES)))
        if sum(combination) % 3 == 0
    ]
    draw = random.Random(seed)
    made: list[dict[str, Any]] = []
    for intent, product, urgency in held_out:
        labels = (INTENTS[intent], PRODUCTS[product], URGENCIES[urgency])
        texts = [text for text in _texts(*labels) if not known & set(_runs(_words(text)))]
        texts = [text for text in texts if not sentences & set(_sentences(text))]
        made += [_row(system, text, labels) for text in draw.sample(texts, -(-count // len(held_out)))]
    draw.shuffle(made)
    return made[:count]


def _texts(intent: str, product: str, urgency: str) -> list[str]:
    pairs = itertools.product(_REQUESTS[intent], _REMARKS[urgency])
    asked = [(request.format(product), remark) for request, remark in pairs]
    return [f"{request} {remark}" for request, remark in asked] + [f"{remark} {request}" for request, remark in asked]


def _row(system: str, text: str, labels: tuple[str, str, str]) -> dict[str, Any]:
    answer = json.dumps(dict(zip(("intent", "product", "urgency"), labels, strict=True)))
    turns = (("system", system), ("user", text), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)]


def _sentences(text: str) -> list[str]:
    return [" ".join(_words(part)) for part in re.split(r"[.!?;:\n]+", text) if _words(part)]
