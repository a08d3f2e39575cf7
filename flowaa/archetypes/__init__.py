"""Archetypal analysis: a data set as mixtures of a few extreme points."""
