"""Breakages of the product, each a small wrong change that some fast test must notice."""
