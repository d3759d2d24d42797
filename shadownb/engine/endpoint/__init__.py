"""A server that speaks OpenAI's chat completions, as a :class:`~shadownb.engine.ports.chat_model.ChatModel`."""

from shadownb.engine.endpoint.endpoint import Endpoint
from shadownb.engine.endpoint.totals import Totals

__all__ = ["Endpoint", "Totals"]
