"""trl as a guest: its trainers as methods of a run of ours. :mod:`.known` alone knows trl's names."""
