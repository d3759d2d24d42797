"""Questions with one right answer at the end of some thinking: numbers, formulas, options, made tasks."""
