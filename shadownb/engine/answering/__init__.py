"""Answering on the wire: what a request asks of a model of ours, what its engine can honour, and how the answer is written."""
