"""The report as a page: typed sections, and the HTML of them in one file without requests."""

import base64
import dataclasses
from pathlib import Path

import jinja2
from PIL import Image

_TEMPLATES = Path(__file__).parent / "templates"
_WIDEST_PIXELS = 1600  # of a picture in the page; larger ones are made smaller


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Plain text, perhaps a verdict."""

    text: str
    kind: str = ""  # "good" or "bad"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a header; folded ones open at a click."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_folded: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG and what it shows to a stranger."""

    path: Path
    title: str
    caption: str
    numbers: str = ""  # anchor of the section that has them

    @property
    def data(self) -> str:
        """The file in base 64."""
        return base64.b64encode(self.path.read_bytes()).decode()

    @property
    def width(self) -> int:
        """In pixels, as shown."""
        return self._size[0]

    @property
    def height(self) -> int:
        """In pixels, as shown."""
        return self._size[1]

    @property
    def _size(self) -> tuple[int, int]:
        with Image.open(self.path) as image:
            width, height = image.size
        shown = min(width, _WIDEST_PIXELS)
        return shown, round(height * shown / width)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    paragraphs: tuple[Paragraph, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def render(title: str, summary: str, sections: list[Section]) -> str:
    """The page's HTML; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True,
        undefined=jinja2.StrictUndefined)
    return environment.get_template("report.html.j2").render(
        title=title, summary=summary, sections=sections)
