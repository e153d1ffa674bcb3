"""Train, convert and evaluate the model."""
