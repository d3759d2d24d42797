"""The options of answers that are given in an environment, over several turns."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from shadownb.engine import registry
from shadownb.engine.config_options import option
from shadownb.engine.functions import name_of, of_a_cell

_GROUP = "reward"


class EnvironmentOptions(BaseModel):
    """What is chosen of an environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str = option(
        "",
        "What the model acts in, over several turns: a class with reset and step, or with typed methods that are its tools (in a "
        "file or a shell as module:Class). Each episode gets one of its own; what it gives as reward counts beside reward_fns.",
        _GROUP,
        functions="environment",
    )
    max_turns: int = option(8, "Most replies of the model in an episode.", _GROUP, advanced=True, ge=1, unit="turns")
    tool_timeout: float = option(
        30.0, "Seconds that one call of an environment or a tool may take.", _GROUP, advanced=True, gt=0, unit="s"
    )

    @field_validator("environment", mode="before")
    @classmethod
    def _its_name(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            name = (value or "").strip()
            known = ":" in name or not name or registry.has("environment", name)
            return name if known else of_a_cell(name) or name
        return name_of("environment", value)
