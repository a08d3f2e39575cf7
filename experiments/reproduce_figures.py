"""The figures of `experiments.reproduce` as files, and the page that shows them."""

import fnmatch
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.reproduce_jobs import STAND_IN, Figure, Step
from experiments.reproduce_steps import seconds_of
from flowaa.training.files.run_folder import write_atomically, write_json

_SMOKE_NOTE = "**A few training steps alone (--smoke): no result.**"


def make_figure(figure: Figure, step: Step, out: Path, *, smoke: bool) -> None:
    """Writes NAME.png and NAME.json of a figure whose step is done.

    The numbers are those of the run's summary whose keys match the figure's patterns; `wall_s` is
    that of the step that drew it, in seconds.
    """
    summary = json.loads((out / figure.summary).read_text())
    numbers = {key: value for key, value in sorted(summary.items())
               if any(fnmatch.fnmatchcase(key, pattern) for pattern in figure.numbers)}
    picture = out / f"{figure.name}.png"
    partial = picture.with_name(picture.name + ".partial")
    shutil.copyfile(out / figure.picture, partial)
    partial.replace(picture)
    # Last: the page takes a figure whose JSON is there for finished.
    write_json(out / f"{figure.name}.json", {
        "thesis": figure.thesis, "shown": figure.shown, "numbers": numbers, "step": step.name,
        "wall_s": seconds_of(step, out), "is_stand_in": figure.stands_in, "is_smoke": smoke})


def write_page(figures: Sequence[Figure], out: Path) -> None:
    """Writes `README.md` of all figures that are finished, those of earlier calls included."""
    parts = ["# Figures of the thesis's chapter 4\n\nThe copy of the chapter that they were made "
             "from has captions alone, without text, numbers or pictures: there is no claim to "
             "compare with, and each figure is our reading of its caption.\n"]
    for figure in figures:
        file = out / f"{figure.name}.json"
        if file.exists():
            parts.append(_section(figure, json.loads(file.read_text())))
    write_atomically(out / "README.md", "\n".join(parts))


def _section(figure: Figure, made: dict[str, Any]) -> str:
    title = figure.name.replace("fig", "Figure ").replace("_", ".")
    notes = [figure.shown, *([STAND_IN] if figure.stands_in else []),
             *([_SMOKE_NOTE] if made["is_smoke"] else [])]
    rows = "".join(f"| {key} | {value:.4g} |\n" for key, value in made["numbers"].items())
    table = f"\n| found here | value |\n|---|---|\n{rows}" if rows else ""
    return (f"## {title}\n\n| thesis's caption | its claim |\n|---|---|\n"
            f"| {figure.thesis} | none in our copy |\n\n![{figure.thesis}]({figure.name}.png)\n\n"
            f"{' '.join(notes)} Its step, {made['step']}, took {made['wall_s']:.0f} s.\n{table}")
