"""A worker that knows the toy objectives, as a plugin would have every process know them."""

from __future__ import annotations

from shadownb.engine import registry
from shadownb.engine.runs.worker import main

registry.register("objective", "toy_failing", "tests.ports.toy_objectives:Failing")
main()
