"""A loaded model whatever it was loaded with: who it is, what it was trained on, who trains it. The facade stands in ``models``."""
