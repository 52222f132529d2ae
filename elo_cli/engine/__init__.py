"""The training engine: objective, loop, precision, features."""
