"""Densities of tables: flows between a marginal transform and a normal law, and what they join."""
