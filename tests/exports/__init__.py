"""Exported files beside the models that they were made of: formats, engines, quality, cards, lineage."""
