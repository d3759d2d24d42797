"""auto-round, in an environment of its own: :mod:`.job` is the program, and nothing beside it shadows a package."""
