"""What `pip install flowaa` gives: the package works from a wheel, in any folder."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np

import flowaa
from flowaa.configs import default, digits

assert Path(flowaa.__file__).is_relative_to(sys.prefix), flowaa.__file__
assert importlib.util.find_spec("experiments") is None
assert digits.get_config().data.name == "digits"

x = np.random.default_rng(0).normal(size=(300, 2)) * [1.0, 3.0]
config = default.get_config("smoke")
config.training.compilation_cache = ""
trained = flowaa.train(config.lock(), "run", data=x)
run = flowaa.load_run("run")
np.testing.assert_array_equal(run.log_prob(x), trained.log_prob(x))
assert run.sample(jax.random.key(0), 3).shape == (3, 2)
weights = flowaa.ArchetypalAnalysis(n_archetypes=3, n_init=1, random_state=0).fit_transform(x)
assert weights.shape == (300, 3)
np.savez("x.npz", x=x)
config.unlock().data.update(name="arrays", path=str(Path("x.npz").resolve()))
flowaa.train(config, "of_a_file")
table = flowaa.OutlierDetector(random_state=0, max_seconds=5).fit(x)
table.save("detector.npz")
scores = flowaa.OutlierDetector.load("detector.npz").score_samples(x[:5])
np.testing.assert_array_equal(scores, table.score_samples(x[:5]))
density = flowaa.NormalizingFlow(random_state=0, max_seconds=5).fit(x)
density.save("density")
found = flowaa.NormalizingFlow.load("density").score_samples(x[:5])
np.testing.assert_array_equal(found, density.score_samples(x[:5]))
print("all is well")
"""
DETECTOR = """
import numpy as np

import flowaa

detector = flowaa.load_detector("of_a_file/detectors/discriminator")
near, far = detector.score(np.zeros((1, 2))), detector.score(np.full((1, 2), 50.0))
assert far > near, (near, far)
assert 0 <= detector.probability(np.zeros((1, 2))) <= 1
print("all is well")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Of an environment with the wheel, where the packages it needs are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "-q", "--disable-pip-version-check"]
    source = folder / "source"  # a build leaves files beside what it builds
    for name in ("flowaa", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder / "wheels", source], check=True)
    subprocess.run([*pip, "install", "--no-deps", *(folder / "wheels").iterdir()], check=True)
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    installed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "others.pth").write_text("\n".join(installed))
    return python


@pytest.mark.slow
def test_the_wheel_trains_restores_and_fits_in_an_empty_folder(python, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for program in (PROGRAM, DETECTOR):
        result = subprocess.run([python, "-c", program], cwd=tmp_path, env=environment, text=True,
                                capture_output=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout == "all is well\n"
        if program == PROGRAM:  # detectors are trained by a command, which is in the checkout
            subprocess.run([sys.executable, "-m", "experiments.detect", "--detector.steps=20",
                            f"--workdir={tmp_path}/of_a_file"],
                           cwd=ROOT, check=True, capture_output=True)
