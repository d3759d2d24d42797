"""Ways to write a trained model, each one class in one file, known by the registry."""
