"""The documentation is made of docstrings without a warning, and its examples run."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "flowaa").rglob("*.py")
    if ">>>" in path.read_text() and "configs" not in path.parts)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


def test_pages_are_made_without_a_warning(tmp_path):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "pdoc", "--docformat",
               "google", "-o", str(tmp_path), "flowaa", "!flowaa.configs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    for page in ("flowaa.html", "flowaa/bijectors.html", "flowaa/extremes.html"):
        assert (tmp_path / page).stat().st_size > 1000
