"""What `experiments.reproduce` makes: steps, which are other commands, and figures of theirs.

The thesis's chapter 4 as we have it is captions alone: it has no text, numbers or pictures. What a
figure shows here is therefore our reading of its caption and of the title of its section.
"""

import dataclasses

STAND_IN = ("FERG cannot be downloaded; these are the project's drawn faces (configs/faces.py), "
            "which stand in for it.")


@dataclasses.dataclass(frozen=True)
class Step:
    """One command, run in a process of its own with `--workdir` in the output's folder."""

    name: str
    module: str
    workdir: str  # in the output's folder
    arguments: tuple[str, ...] = ()
    config: str = ""  # of a training: a file of configs/, of which a smoke variant exists
    after: str = ""  # the step whose results it needs
    pictures: tuple[str, ...] = ()  # in the workdir; without all of them the step is not done

    def command(self, out: str, *, smoke: bool) -> list[str]:
        """Words after `python`, the variant of the config included."""
        variant = ":smoke" if smoke else ""
        config = [f"--config={self.config}{variant}"] if self.config else []
        return ["-m", self.module, f"--workdir={out}/{self.workdir}", *config, *self.arguments]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of the thesis, and the picture and numbers that are made for it here."""

    name: str
    thesis: str  # its caption
    shown: str  # what the picture made here shows
    step: str
    picture: str  # in the output's folder
    summary: str  # the JSON, in the output's folder, that has the numbers
    numbers: tuple[str, ...]  # patterns of the summary's keys, as of a shell
    stands_in: bool = False


_DETECTOR = ("figures/detector.png", "figures/latent_grid.png", "figures/reliability.png")
_ANALYSIS = ("compared", "recreated", "simplex", "triangle", "paths", "dirichlet", "nearest")


def _toy(name: str) -> tuple[Step, Step]:
    """A flow conditional on the class, and the classifier that doubts what lies beyond its data."""
    trained = Step(f"{name}_flow", "experiments.train", f"runs/{name}",
                   ("--config.flow.conditional=True",), config=f"configs/{name}.py")
    classifier = Step(
        f"{name}_classifier", "experiments.detect", f"runs/{name}",
        ("--name=classifier", "--detector.kind=classifier", "--detector.reference=drawn",
         # Shells alone leave a classifier sure of what lies beyond them.
         "--detector.sources=('shell', 'box')", "--detector.shares=(1.0, 1.0)",
         "--detector.box_margin=8.0"),
        after=trained.name, pictures=tuple(f"detectors/classifier/{path}" for path in _DETECTOR))
    return trained, classifier


STEPS = (  # those that take longest first, so that the others run beside them
    Step("faces_flow", "experiments.train", "runs/faces", config="configs/faces.py",
         pictures=("figures/curves.png",)),
    Step("faces_analysis", "experiments.analyse", "runs/faces", after="faces_flow",
         pictures=tuple(f"figures/{name}.png" for name in _ANALYSIS)),
    *_toy("mixture"), *_toy("moons"),
)


def _toy_figures(first: int, name: str, caption: str) -> tuple[Figure, Figure]:
    """The figures of one toy data set: the classifier, then the latent mapping."""
    folder = f"runs/{name}/detectors/classifier"
    return (
        Figure(f"fig4_{first}", f"{caption} classifier performance",
               "The classifier's probabilities, and the log-odds that its best guess is "
               "wrong (zero is complete doubt), beside the outliers that it was trained on, which "
               "are those of shell and box.",
               f"{name}_classifier", f"{folder}/figures/detector.png", f"{folder}/summary.json",
               ("test/auroc_*", "test/calibration_error*", "kept_*")),
        Figure(f"fig4_{first + 1}", f"{caption} latent mapping",
               "A grid of the plane encoded by the flow of class 0, and a grid of the latent "
               "decoded, with the rows of that class.",
               f"{name}_classifier", f"{folder}/figures/latent_grid.png",
               f"runs/{name}/summary.json", ("test/nll", "test/radius_ks", "test/normal_nll")))


def _faces_figure(number: int, picture: str, shown: str, numbers: tuple[str, ...],
                  step: str = "faces_analysis") -> Figure:
    return Figure(f"fig4_{number}", "AA FERG", shown, step, f"runs/faces/figures/{picture}.png",
                  "runs/faces/summary.json", numbers, stands_in=True)


FIGURES = (
    *_toy_figures(1, "mixture", "Gaussian mixture"),
    *_toy_figures(3, "moons", "Moons"),
    _faces_figure(5, "compared", "Archetypes decoded for each character: the truth, before "
                  "training, and after it. Training is told the faces' true weights and starts "
                  "from a fit to them.", ("*weight_mae*", "archetypes/*/bits_per_dim")),
    _faces_figure(6, "recreated", "Test faces above what is decoded of their weights.",
                  ("test/reconstruction*",)),
    _faces_figure(7, "simplex", "Weights of the test faces between the archetypes.",
                  ("archetypes/*/mean_weight",)),
    _faces_figure(8, "triangle", "Mixtures of three archetypes, decoded.", ()),
    _faces_figure(9, "paths", "From each archetype to each other, decoded.", ()),
    _faces_figure(10, "dirichlet", "Draws of three Dirichlet laws on the simplex, decoded.", ()),
    _faces_figure(11, "nearest", "The training faces nearest to each archetype.",
                  ("archetypes/*/nearest_weight",)),
    _faces_figure(12, "curves", "Bits a dimension over the training steps.",
                  ("test/bits_per_dim", "generalisation_gap/*", "steps"), step="faces_flow"),
)
