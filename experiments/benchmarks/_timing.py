"""Timing several sides fairly: warmed up, in turn, by medians."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Side:
    """One library's training of an architecture, to be timed beside another's."""

    call: Callable[[], object]  # waits until its steps are done
    n_steps: int = 1  # of one call
    memory_bytes: int | None = None  # for the gradient, beside parameters and batch
    compile_s: float | None = None  # until its first call is done, where it compiles


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
