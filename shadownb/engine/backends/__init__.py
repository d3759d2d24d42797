"""The frameworks that train. Each declares what it honours; runs reach them through :mod:`shadownb.engine.runs.job`."""
