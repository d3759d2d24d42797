"""What was exported: how good each file is, which one to take, what its card says, where its rows came from.

:mod:`.result` is what an export returns, :mod:`.quality` and :mod:`.measuring` load a file with the engine that will run it,
:mod:`.recommending` chooses, :mod:`.card` writes the model card, :mod:`.hub` pushes it, :mod:`.lineage` goes from rows to
files and back.
"""
