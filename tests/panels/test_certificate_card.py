"""What the Train panel shows of the chat template: the certificate's card, and what the plan says of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from panel_driver import ROWS, press

import shadownb
from shadownb.engine.models import Model
from shadownb.panels import TrainPanel

THOUGHTFUL = [
    {
        "messages": [
            {"role": "user", "content": f"Say {number}."},
            {"role": "assistant", "content": f"{number}", "reasoning_content": "I am asked to say it."},
        ]
    }
    for number in range(6)
]


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        return shadownb.load(str(tiny_model_dir), dtype="float32")


@pytest.fixture
def panel(model: Model) -> Iterator[TrainPanel]:
    made = TrainPanel(namespace={"model": model, "rows": ROWS, "thoughtful": THOUGHTFUL})
    made.settle()
    yield made
    made.close()


def test_the_card_follows_the_model(panel: TrainPanel, model: Model) -> None:
    assert panel.certificate == {"stage": "none"}
    press(panel, "choose_model", choice="var:model")
    assert panel.certificate == {**model.certify().to_dict(), "stage": "ready"}
    press(panel, "choose_model", choice="")
    assert panel.certificate == {"stage": "none"}


def test_a_certificate_that_fails_is_a_card(panel: TrainPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "certify", lambda self: 1 / 0)
    press(panel, "choose_model", choice="var:model")
    assert panel.certificate["stage"] == "failed" and "ZeroDivisionError" in panel.certificate["error"]["what"]
    assert panel.model_state["stage"] == "ready", "the model can be trained all the same"


def test_the_plan_says_what_the_template_leaves_out(panel: TrainPanel) -> None:
    def template() -> list[tuple[str, str]]:
        return [(row["value"], row["reason"]) for row in panel.plan if row["label"] == "Chat template"]

    press(panel, "choose_model", choice="var:model")
    press(panel, "choose_data", choice="var:rows")
    assert template() == []
    press(panel, "choose_data", choice="var:thoughtful")
    assert template() == [("reasoning of a reply left out in 6 of 6 rows", "on_template_drop is auto")]
    press(panel, "inspect", row=0)
    assert "leaves out the reasoning" in panel.inspection["summary"]
    press(panel, "set", values={"on_template_drop": "refuse"})
    assert template() == [("6 of 6 rows refused: reasoning-not-rendered", "on_template_drop is refuse")]
    assert panel.inspection["stage"] == "failed" and "reasoning" in panel.inspection["error"]["what"]
    press(panel, "set", values={"on_template_drop": "bundled"})
    assert template() == [] and panel.inspection["stage"] == "ready"
    text = "".join(token[1] for token in panel.inspection["sequences"][0])
    assert "<think>\nI am asked to say it.\n</think>" in text
