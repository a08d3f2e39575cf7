"""Tails of data, fitted.

- `peaks_over_threshold`, `block_maxima`: the doors, one class each; `thresholds`: where a tail
  begins.
- `tail_fits`: a law to exceedances or maxima, in float64; `fitted_tail`: return levels and
  intervals of a fit.
- `heavy_tails`: whether a tail falls as a power; `directions`: which features carry it.
"""
