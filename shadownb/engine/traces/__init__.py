"""Import of model calls that other tools recorded as traces.

It reads OpenTelemetry's GenAI convention and its earlier span events, OpenInference, OpenLLMetry, requests and responses as
JSON; exports of Langfuse, Phoenix, MLflow, the OpenAI Agents SDK, LangSmith, LiteLLM and Helicone; and session files of Claude
Code, Codex and Pi, and in Hugging Face's format. The way back is ``CaptureStore.export("calls.otlp.jsonl")``.

Examples
--------
>>> episodes = snb.traces.from_otlp("spans.json")
>>> print(episodes.report.summary())  # how many spans were understood; report.left_out says why others were not
2 of 2 spans are model calls that were understood (2 otel-genai); they make 2 trajectories
>>> data = snb.traces.to_dataset("spans.json")
"""

from shadownb.engine.traces.importing import Imported, from_otlp, from_spans, to_dataset
from shadownb.engine.traces.report import LeftOut, TraceReport
from shadownb.engine.trajectories.group import group

__all__ = ["Imported", "LeftOut", "TraceReport", "from_otlp", "from_spans", "group", "to_dataset"]
