"""What a report says of a run: its sections in order, with the pictures there are."""

import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import command
from experiments.extreme_figures import held_out_tails, save_extremes
from experiments.outlier_figures import save_laws, save_walks
from experiments.report_page import Paragraph, Picture, Section, Table, render
from flowaa.configs import default
from flowaa.errors import UserError
from flowaa.figures.marginals import save_marginals
from flowaa.outliers.evidence import has_normal_latents
from flowaa.run import Run
from flowaa.run.trust import LARGEST_KS
from flowaa.training.files.run_folder import write_json

_N_SAMPLES = 2_000
_CAPTIONS = {  # file in figures/ → title and what a stranger sees in it
    "curves.png": ("Training", "Bits per dimension on training and validation data after so many "
                   "steps; lower is better. The star marks the checkpoint that was kept."),
    "data.png": ("Data", "Examples that the model was not trained on, for comparison."),
    "samples.png": ("Samples", "Draws of the model: where they are like the data, the model has "
                    "learned it."),
    "marginals.png": ("Features one by one", "The model's samples (line) over validation rows "
                      "(grey), between the half-percent quantiles of the data."),
    "archetypes.png": ("Archetypes", "The extreme points that all data are mixtures of, decoded."),
    "compared.png": ("Archetypes and what is known", "Decoded archetypes beside the known ones and "
                     "beside the start of training."),
    "nearest.png": ("Nearest examples", "Of each archetype the training examples nearest to it."),
    "triangle.png": ("Mixtures", "Mixtures of three archetypes: corners are pure, the centre has a "
                     "third of each."),
    "paths.png": ("Between archetypes", "From each archetype to each other, straight through the "
                  "simplex."),
    "recreated.png": ("Examples from their weights", "Test examples above, below what is decoded "
                      "of their weights alone."),
    "simplex.png": ("Weights", "Each point is a test example, placed by its mixture of "
                    "archetypes."),
    "outliers_shell.png": ("Outliers by return period", "Draws at the distance that one in n "
                           "exceeds: from typical to extreme, in the same directions."),
    "outliers_simplex.png": ("Outliers beyond the archetypes", "Draws as far beyond the simplex as "
                             "one in n, in the same directions."),
    "outliers_sigma.png": ("Outliers by deviation", "The same with latents of growing deviation."),
    "return_levels.png": ("The law of the radius", "How far out the model says that one draw in n "
                          "lies, and the furthest of n."),
    "extremes_radius.png": ("How far held-out rows go: latent radius", "What one row in so many "
                            "exceeds, with 95 % intervals, beside the model's law (dashed); "
                            "whether the fitted tail is that of the rows; other thresholds."),
    "extremes_nll.png": ("How unlikely held-out rows are", "The same of the negative "
                         "log-likelihood."),
    "extremes_features.png": ("What is extreme", "Left: what the least likely rows are far out in, "
                              "beside all rows. Right: which features are large together."),
    "detector.png": ("Detector", "Its score over the plane, and the outliers it learned from."),
    "reliability.png": ("Are its probabilities true?", "Stated probabilities against how often "
                        "they came true; on the diagonal they are right."),
    "density.png": ("Density", "The model's density beside the true one."),
}


def report_of(run: Run) -> str:
    """The page of a run with its folder; pictures that can be made and are missing are made."""
    assert run.folder is not None
    figures = command.figures_of(run.folder)
    notes = _made(run, figures)
    sections = [
        _trained(run), _trust(run),
        _section(figures, "training", "How training went", ["curves.png"]),
        _section(figures, "samples", "Data and samples",
                 ["data.png", "samples.png", "marginals.png", "density.png"]),
        _section(figures, "archetypes", "Archetypes", [
            "archetypes.png", "compared.png", "nearest.png", "triangle.png", "paths.png",
            "recreated.png", "simplex.png"]),
        _section(figures, "outliers", "Outliers, from typical to extreme",
                 ["outliers_shell.png", "outliers_sigma.png", "return_levels.png",
                  *([] if has_normal_latents(run.density) else ["outliers_simplex.png"])]),
        _extremes(run, figures, notes), *_detectors(run.folder),
        Section("numbers", "All numbers", tables=(Table(
            "Summary of the run", ("name", "value"),
            tuple((name, f"{value:.6g}") for name, value in sorted(run.summary.items())),
            is_folded=True),))]
    shape = " x ".join(map(str, run.spec.shape))
    return render(
        f"flowaa: {run.config.data.name}", f"A normalizing flow of {shape} numbers an example, "
        f"{run.summary.get('n_params', 0):,.0f} parameters, at step {run.step}.",
        [section for section in sections if section.paragraphs or section.tables
         or section.pictures])


def _made(run: Run, figures: Path) -> list[str]:
    """Makes what the report shows and is not there; what cannot be made is said."""
    notes = []
    if run.params is None or run.density.flow.context_mean:
        return ["Outliers are not drawn of this kind of run."]
    method = "shell" if has_normal_latents(run.density) else "simplex"
    if not (figures / f"outliers_{method}.png").is_file():
        save_walks(run, figures, method=method, label=None, seed=0)
        save_laws(run.density.flow.n_dims, figures, method=method, seed=0)
    if not (figures / "extremes_radius.png").is_file():
        try:
            _, numbers = save_extremes(run, held_out_tails(run), figures)
            assert run.folder is not None
            write_json(run.folder / "extremes.json", numbers)
        except UserError as error:
            notes.append(f"How far held-out rows go is not shown: {error}.")
    if len(run.spec.shape) == 1 and run.spec.shape != (2,) and (
            not run.density.flow.n_condition_classes):
        samples = np.asarray(run.sample(jax.random.key(0), _N_SAMPLES))
        save_marginals(figures / "marginals.png", run.held_out.x, samples)
    return notes


def _trained(run: Run) -> Section:
    """Data, time, and the keys that differ from the defaults."""
    spec, summary = run.spec, run.summary
    values = f"levels 0 to {spec.n_levels - 1}" if spec.n_levels else "continuous values"
    facts = [("examples", f"{' x '.join(map(str, spec.shape))}, {values}"),
             ("classes", str(spec.n_classes or "none")),
             ("steps", f"{summary.get('steps', run.step):,.0f}")]
    if "wall_s" in summary:
        facts.append(("time", f"{summary['wall_s'] / 60:.1f} minutes"))
    facts.append(("computed on", f"{jax.device_count()} x {jax.devices()[0].device_kind} "
                                 "(this report)"))
    changed = tuple((key, value) for key, value in sorted(_flat(run.config).items())
                    if _flat(default.get_config()).get(key) != value)
    return Section("trained", "What was trained", tables=(
        Table("The run", ("", ""), tuple(facts)),
        Table("Settings that are not the defaults", ("key", "value"), changed, is_folded=True)))


def _trust(run: Run) -> Section:
    """The verdict on the density, and the figures that it is by."""
    names = {"test/bits_per_dim": "test, bits per dimension",
             "generalisation_gap/nll": "test less training, nats",
             "test/worst_nll": "least likely test row, -log p in nats",
             "test/radius_ks": "latent radii from their law (Kolmogorov-Smirnov)",
             "test/normal_nll": "one normal law on the same rows, -log p in nats",
             "test/nll": "the model, -log p in nats"}
    rows = tuple((text, f"{run.summary[name]:.4g}") for name, text in names.items()
                 if name in run.summary)
    if not rows:
        return Section("trust", "Is the density to be trusted?")
    bad = []
    if run.summary.get("test/radius_ks", 0.0) > LARGEST_KS:
        bad.append("the latent radii of test rows are not those of its law")
    if run.summary.get("test/nll", -np.inf) > run.summary.get("test/normal_nll", np.inf):
        bad.append("one normal law makes test rows more likely")
    verdict = (Paragraph("Not far out: " + ", and ".join(bad) + ".", "bad") if bad else
               Paragraph("Test rows say nothing against it.", "good"))
    return Section("trust", "Is the density to be trusted?", (verdict,),
                   (Table("Figures of test rows", ("figure", "value"), rows),))


def _section(folder: Path, anchor: str, title: str, names: list[str]) -> Section:
    """The pictures of these names that there are."""
    return Section(anchor, title, pictures=tuple(
        Picture(folder / name, *_CAPTIONS[name]) for name in names if (folder / name).is_file()))


def _extremes(run: Run, figures: Path, notes: list[str]) -> Section:
    """Tails of held-out rows, their levels as a table, or why there are none."""
    assert run.folder is not None
    section = _section(figures, "extremes", "How far out the data goes", [
        "extremes_radius.png", "extremes_nll.png", "extremes_features.png"])
    paragraphs = tuple(Paragraph(note) for note in notes)
    file, rows = run.folder / "extremes.json", []
    if file.is_file():
        numbers = json.loads(file.read_text())
        for period in (100, 1000, 10_000, 1_000_000):
            if f"radius/level_{period}_low" in numbers:
                level, low, high = (
                    numbers[f"radius/level_{period}{end}"] for end in ("", "_low", "_high"))
                law = numbers.get(f"radius/law_level_{period}")  # latents may have no radial law
                rows.append((f"1 in {period:,}", f"{level:.4g}", f"{low:.4g} to {high:.4g}",
                             "–" if law is None else f"{law:.4g}"))
    table = Table("Latent radius that one row exceeds",
                  ("row", "radius", "95 % interval", "the model's law"), tuple(rows))
    return Section(section.anchor, section.title, paragraphs, (table,) if rows else (),
                   section.pictures)


def _detectors(folder: Path) -> list[Section]:
    """A section for each detector of the run."""
    sections = []
    for path in sorted((folder / "detectors").glob("*/summary.json")):
        section = _section(path.parent / "figures", f"detector-{path.parent.name}",
                           f"Detector: {path.parent.name}",
                           ["detector.png", "reliability.png", "curves.png"])
        summary = json.loads(path.read_text())
        rows = tuple((name, f"{value:.4g}") for name, value in sorted(summary.items()))
        sections.append(Section(section.anchor, section.title, (), (
            Table("Its numbers", ("figure", "value"), rows, is_folded=True),), section.pictures))
    return sections


def _flat(config: ConfigDict, prefix: str = "") -> dict[str, str]:
    """Dotted keys and values as text."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = repr(value)
    return flat
