"""The engine core: everything that works without a notebook. It imports no IPython, ipywidgets, anywidget or plotly."""
