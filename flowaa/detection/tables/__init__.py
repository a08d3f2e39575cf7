"""Outliers of tables: members, tail probabilities, the ensemble, and explanations."""
