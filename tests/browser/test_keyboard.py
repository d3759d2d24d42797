"""By keyboard alone: from an empty Studio to a run that has finished, each stop by its name; and in forced colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import CDPSession, Locator, Page, expect

from .lab import Lab
from .looks import AXE

STUDIO = 0
Photograph = Callable[[Locator, str], None]


class Keys:
    """Somebody who has a keyboard and hears what has the focus.

    Attributes
    ----------
    heard
        Role and name of each stop, as Chromium tells them to a screen reader.
    """

    def __init__(self, page: Page, studio: Locator) -> None:
        self.page, self.studio = page, studio
        self.heard: list[tuple[str, str]] = []
        self._tree: CDPSession = page.context.new_cdp_session(page)

    def focused(self) -> tuple[str, str]:
        """Return role and name of what has the focus, which is in Studio and has both."""
        assert self.studio.evaluate("studio => studio.contains(document.activeElement)"), (
            f"lost after {self.heard[-3:]}"
        )
        found = self._tree.send("Runtime.evaluate", {"expression": "document.activeElement"})
        node = {"objectId": found["result"]["objectId"], "fetchRelatives": False}
        told = self._tree.send("Accessibility.getPartialAXTree", node)["nodes"][0]
        role, name = told["role"]["value"], told.get("name", {}).get("value", "")
        assert name.strip(), f"a {role} without a name after {self.heard[-3:]}"
        return role, name

    def to(self, role: str, name: str, key: str = "Tab") -> None:
        """Press a key until what has this role and name (or its beginning) has the focus."""
        for _ in range(150):
            self.page.keyboard.press(key)
            self.heard.append(self.focused())
            if self.heard[-1][0] == role and self.heard[-1][1].startswith(name):
                return
        raise AssertionError(f"{key} never came to the {role} {name!r}: {self.heard}")

    def type(self, text: str) -> None:
        """Write into what has the focus, in place of what is there."""
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def press(self, key: str) -> None:
        """Press a key; whatever that does, something in Studio has the focus afterwards."""
        self.page.keyboard.press(key)
        self.focused()


def test_from_an_empty_studio_to_a_finished_run(
    lab: Lab, page: Page, tiny_model_dir: Path, photograph: Photograph
) -> None:
    rows = [{"prompt": f"Where is parcel {n}?", "completion": "On its way."} for n in range(24)]
    (lab.root / "parcels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    notebook = lab.open(page, "keyboard", "import shadownb as snb\nsnb.Studio()")
    notebook.execute(STUDIO)
    studio, train = notebook.panel(STUDIO, "Studio"), notebook.panel(STUDIO, "Train")
    expect(train.get_by_role("group", name="Hardware").get_by_role("radio").first).to_be_visible()
    keys = Keys(page, studio)
    studio.get_by_role("tab", name="Train", exact=True).focus()
    assert keys.focused() == ("tab", "Train")

    keys.to("textbox", "Or a file")
    keys.type("parcels.jsonl")
    keys.press("Enter")
    expect(train.get_by_role("region", name="Data")).to_contain_text("24 rows")
    keys.to("textbox", "Or a folder or hub id")
    keys.type(str(tiny_model_dir))
    keys.press("Enter")
    expect(train.get_by_role("button", name="Load", exact=True)).to_be_enabled()
    keys.to("button", "Load")
    keys.press("Enter")
    expect(train.get_by_role("region", name="Model", exact=True)).to_contain_text("Loaded")
    keys.focused()
    keys.to("radio", "LoRA")
    keys.to("textbox", "Maximum steps")
    keys.type("3")
    expect(train.get_by_role("region", name="What will run")).to_contain_text("3 steps")
    photograph(train, "keyboard-start")
    page.get_by_role("textbox", name="Maximum steps").focus()  # the picture changed the theme and the size
    keys.to("button", "Start training")
    page.keyboard.press("Space")

    expect(studio.get_by_role("tab", name="Run", exact=True)).to_be_focused()
    run = notebook.panel(STUDIO, "Run")
    expect(run.get_by_role("status").first).to_have_text("Finished")
    expect(run.get_by_role("region", name="What next")).to_be_visible()
    keys.to("button", "Chat")
    page.keyboard.press("Enter")  # the button is switched off until the kernel has answered, and then its tab is hidden
    expect(studio.get_by_role("tab", name="Chat", exact=True)).to_be_focused()
    expect(studio.get_by_role("textbox", name="Message")).to_be_enabled()  # as soon as the kernel has said who answers
    keys.to("textbox", "Message")
    in_forced_colours(page, studio)


def in_forced_colours(page: Page, studio: Locator) -> None:
    """Where the system chooses the colours, nothing in any tab is wrong, and which tab is open can still be seen."""
    page.emulate_media(forced_colors="active")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for tab in studio.get_by_role("tablist", name="Studio").get_by_role("tab").all():
        tab.click()
        name = tab.inner_text()
        expect(studio.get_by_role("tabpanel", name=name, exact=True)).to_be_visible()
        result = studio.evaluate("studio => axe.run(studio, { resultTypes: ['violations'] })")
        wrong = [(each["id"], node["html"][:160]) for each in result["violations"] for node in each["nodes"]]
        assert wrong == [], name
        assert tab.evaluate("tab => getComputedStyle(tab).outlineStyle") == "solid", name
