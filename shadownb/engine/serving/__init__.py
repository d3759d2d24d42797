"""Serving: one front that speaks OpenAI's and Anthropic's API, over models that we load and servers that we start or find."""

from shadownb.engine.serving.batch import BatchResult, batch
from shadownb.engine.serving.serve import serve
from shadownb.engine.serving.server import Server

__all__ = ["BatchResult", "Server", "batch", "serve"]
