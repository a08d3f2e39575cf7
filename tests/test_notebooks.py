"""The notebooks run from top to bottom, with the CPU-sized variant, and hold no outputs."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest

from flowaa.config import data
from tests.test_configs import fast_compilation, noise_of  # noqa: F401 - a fixture

COLAB = Path(__file__).parents[1] / "colab"
NOTEBOOKS = sorted(path.stem for path in COLAB.glob("*.ipynb"))


def code_cells(name: str) -> list[str]:
    cells = json.loads((COLAB / f"{name}.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stripped_and_the_first_cell_installs(name):
    cells = json.loads((COLAB / f"{name}.ipynb").read_text())["cells"]
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert '"pip", "install"' in code_cells(name)[0]


@pytest.mark.usefixtures("fast_compilation")
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(COLAB)
    mpl.use("Agg")
    load = data.build_data
    for module in ("flowaa.config.data", "flowaa.run.train"):
        monkeypatch.setattr(f"{module}.build_data", lambda config: (
            noise_of("faces") if config.data.name == "faces" else load(config)))
    names: dict[str, object] = {}
    changed = 0
    for cell in code_cells(name):
        source = cell.replace('VARIANT = ""', 'VARIANT = "smoke"').replace(
            "runs/", f"{tmp_path}/")
        changed += source != cell
        exec(compile(source, name, "exec"), names)
    assert changed
    assert names["run"].step > 0
