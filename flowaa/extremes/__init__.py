"""Extreme-value laws and the samplers built on them."""
