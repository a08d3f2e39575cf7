"""`python -m tests.mutations [WORD ...]`: applies each breakage alone and runs its tests.

A breakage whose tests still pass is a missing test. WORDs select breakages whose name or file
contains one of them. Ends with status 1 if fewer than 95 % of those tried are noticed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutations.mutation import Mutation
from tests.mutations.table import MUTATIONS

ROOT = Path(__file__).parents[2]
COPIED = ("flowaa", "experiments", "configs", "tests", "pyproject.toml", "README.md", "colab",
          "CONTRIBUTING.md")
WANTED_SHARE = 0.95


def tests_fail(mutation: Mutation, tree: Path) -> bool:
    """Whether the tests of a mutation fail on a tree that it was applied to."""
    file = tree / mutation.file
    source = file.read_text()
    file.write_text(source.replace(mutation.old, mutation.new))
    # Else Python may take the bytecode of the source before, whose time and size can be equal.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree),
                   "JAX_COMPILATION_CACHE_DIR": os.environ.get(
                       "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))}
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider",
                   *mutation.tests]
        result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    finally:
        file.write_text(source)
    if result.returncode not in (0, 1):  # no tests found, or an error of pytest's own
        raise RuntimeError(f"{mutation.name}: {result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.returncode == 1


def main(words: list[str]) -> int:
    """Tries the selected mutations and prints a line for each."""
    chosen = [mutation for mutation in MUTATIONS
              if not words or any(word in mutation.name or word in mutation.file for word in words)]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, symlinks=True,  # flowaa/configs is configs/
                                ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / name)
        for index, mutation in enumerate(chosen, 1):
            noticed = tests_fail(mutation, tree)
            if not noticed:
                survivors.append(mutation)
            print(f"{index:3}/{len(chosen)} {'noticed ' if noticed else 'SURVIVES'} "
                  f"{mutation.file}: {mutation.name}", flush=True)
    for mutation in survivors:
        print(f"survivor: {mutation.name}: {mutation.survives or 'a test is missing'}")
    share = 1 - len(survivors) / max(len(chosen), 1)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} noticed ({share:.0%})")
    return int(share < WANTED_SHARE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
