"""Teachers of distillation that are models: loaded ones, and ones behind a server."""
