"""JSON schemas as the library of grammars takes them: keywords that it lacks are written by those that it has.

What is rewritten accepts a part of what the schema accepts, never anything else, and is not empty: every finished answer
validates. ``not``, ``if``, ``oneOf`` and what was left unevaluated are cases of ``anyOf``; ``contains`` is held by the first items;
``uniqueItems`` by listing what few values allow. What has no such form is refused by the keyword's name.
"""
