"""Policy gradients: answers of the model itself, or recorded ones, made more or less likely by what they scored."""
