"""Teachers: a model learns the probabilities that another one, or itself with the answer before it, gives to each token."""
