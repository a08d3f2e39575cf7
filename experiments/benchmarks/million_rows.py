"""`NormalizingFlow()` and `OutlierDetector()` on 10^6 rows of 32 features: time, memory, quality.

Each fit is a process of its own. Memory is what the peak grew by over the rows' bytes, the rows
themselves included: beyond that after a fit of 1 000 rows, which has compiled already, and beyond
that of the rows alone. The mixture is the best by BIC of 1, 3, 10 and 20 components, fitted to 10^5
of the rows; its log-likelihood is of the same 5 000 new rows.
"""

import json
import subprocess
import sys


def run() -> dict[str, float]:
    """Wall seconds, memory over the data's, log-likelihoods and rows scored a second."""
    figures: dict[str, float] = {}
    for name in ("density", "mixture", "detector"):
        out = subprocess.run([sys.executable, "-m", "experiments.benchmarks._million_fresh", name],
                             check=True, capture_output=True, text=True).stdout
        figures |= {f"{name}/{key}": value
                    for key, value in json.loads(out.splitlines()[-1]).items()}
        print(figures, flush=True)
    return figures
