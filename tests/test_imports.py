"""Values flow one way (DESIGN.md): no module imports what lies above it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SIBLINGS = [("flowaa.flow",), ("flowaa.archetypes",), ("flowaa.extremes",), ("flowaa.detection",)]
# From the bottom up; a name stands for itself and all within it. A module may import from its own
# row or one below, but of SIBLINGS none imports another.
ROWS: list[set[str]] = [
    {"flowaa.errors"},
    {"flowaa.arguments"},
    {"flowaa.bijectors"},
    {"flowaa.flow", "flowaa.archetypes", "flowaa.extremes", "flowaa.detection"},
    {"flowaa.data", "flowaa.training", "flowaa.figures", "flowaa.outliers"},
    {"flowaa.config", "flowaa.run", "flowaa.estimators", "flowaa.__init__"},
    {"configs", "flowaa.configs"},
    {"experiments"},
]


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("flowaa", "experiments", "configs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__") if name.count(".") > 1 else name, path


MODULES = dict(modules())


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def imported(source: str) -> set[str]:
    """Every module a source imports, wherever: within functions and for typing too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from flowaa import build` imports a module, `from flowaa.run import Run` a name.
            found |= {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES
                      else node.module for alias in node.names}
    return found


def row_of(name: str) -> int:
    rows = [index for index, row in enumerate(ROWS) if any(within(name, part) for part in row)]
    assert len(rows) == 1, f"{name} stands in no row of the design; add it to ROWS"
    return rows[0]


def sibling_of(name: str) -> int | None:
    return next((index for index, group in enumerate(SIBLINGS)
                 if any(within(name, part) for part in group)), None)


def back_arrows(name: str, imports: set[str]) -> list[str]:
    """Imports that point back, or from a sibling to another."""
    ours = {other for other in imports if other in MODULES or other.split(".")[0] in
            ("experiments", "configs")}
    wrong = [other for other in ours if row_of(other) > row_of(name)]
    siblings = [other for other in ours
                if None is not sibling_of(name) != sibling_of(other) is not None]
    return sorted({*wrong, *siblings})


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    assert not back_arrows(name, imported(MODULES[name].read_text()))


@pytest.mark.parametrize(("name", "source"), [
    ("flowaa.bijectors.chain", "from flowaa.flow import Flow"),
    ("flowaa.training.loop", "def f():\n    from flowaa.config import flow"),
    ("flowaa.config.flow", "import experiments.train"),
    ("flowaa.extremes.shell", "from flowaa.flow import Flow"),
    ("flowaa.flow", "from flowaa import archetypes"),
    ("flowaa.errors", "import flowaa.bijectors.base"),
])
def test_a_back_arrow_is_found(name, source):
    assert back_arrows(name, imported(source))


def importers(package: str) -> set[str]:
    return {name for name, path in MODULES.items()
            if any(within(other, package) for other in imported(path.read_text()))}


def test_configs_are_read_in_one_place():
    """ConfigDict stops in config and run; commands and config files make and pass it."""
    below = {name for name in importers("ml_collections") if within(name, "flowaa")}
    assert all(within(name, "flowaa.config") or within(name, "flowaa.run") for name in below)


def test_matplotlib_stays_in_figures():
    assert {name for name in importers("matplotlib") if not within(name, "flowaa.figures")} == set()
    assert importers("matplotlib")


@pytest.mark.parametrize("package", ["torch", "tensorflow"])
def test_no_other_framework_is_needed(package):
    assert {name for name in importers(package) if within(name, "flowaa")} == set()


@pytest.mark.parametrize("module", ["flowaa", "experiments.train"])
def test_importing_a_command_does_not_wait_for_jax(module):
    """`--help` is quick because nothing heavy is imported before it is used."""
    heavy = ("jax", "flax", "optax", "orbax", "distrax", "matplotlib", "tensorflow_datasets")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                            check=True)
    assert result.stdout.strip() == "[]"
