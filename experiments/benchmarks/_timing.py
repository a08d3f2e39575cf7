"""Timing several sides fairly: warmed up, in turn, by medians."""

import statistics
import time
from collections.abc import Callable, Sequence


def median_s(sides: Sequence[Callable[[], object]], *, n_rounds: int = 5) -> list[float]:
    """Median seconds of each side, measured in turn after a warm-up of each."""
    times: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for _ in range(n_rounds):
        for side, measured in zip(sides, times, strict=True):
            start = time.perf_counter()
            side()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]
