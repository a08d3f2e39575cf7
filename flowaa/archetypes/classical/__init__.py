"""Archetypal analysis of a table (Cutler & Breiman 1994): the fit, from rows to archetypes."""
