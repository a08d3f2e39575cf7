"""Archetypal analysis of a table (Cutler & Breiman 1994): X ≈ A B X, in the order it runs.

    table                   what is taken as one
    rows                    the table, centred and scaled, each row with a weight
    coreset                 a few weighted rows that stand for many; the summary of a stream
    simplex_least_squares   min ½ wᵀG w − tᵀw over the simplex: what both halves of a round solve
    robust                  losses under which far-out rows count for less
    hull                    archetypes Z = B X for given weights A
    alternation             a round: A for Z, then Z for A; and rounds until they gain nothing
    starts                  rows that archetypes start from
    search                  starts, their fits, exchanges of archetypes: the best optimum found
    model                   a fit with its certificate, in data units; weights of new rows
    archetypoids            archetypes that are rows
    selection               how many archetypes
    comparison              how near weights come to true ones; linear methods beside them

All of it is NumPy and SciPy in float64: a first fit waits for no compilation, and the active sets
that make each half of a round exact are loops of few, data-dependent steps.
"""
