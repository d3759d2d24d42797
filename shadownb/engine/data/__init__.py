"""Data: the Dataset class, the formats it knows, and the report of rows that cannot be used."""

from shadownb.engine.data.dataset import Dataset
from shadownb.engine.data.formats import FORMATS
from shadownb.engine.data.report import BadRow, DatasetReport

__all__ = ["FORMATS", "BadRow", "Dataset", "DatasetReport"]
