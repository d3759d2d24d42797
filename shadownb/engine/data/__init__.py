"""Data: the Dataset class, the formats it knows, and the report of what cannot be used and what was not read."""

from shadownb.engine.data.accepting import kind_of
from shadownb.engine.data.dataset import Dataset, as_dataset
from shadownb.engine.data.formats import FORMATS
from shadownb.engine.data.report import BadRow, DatasetReport, UnreadColumn

__all__ = ["FORMATS", "BadRow", "Dataset", "DatasetReport", "UnreadColumn", "as_dataset", "kind_of"]
