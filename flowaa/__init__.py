"""flowaa: learn what is extreme in a data set."""

__version__ = "0.1.0"
