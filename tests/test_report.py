"""`experiments.report`: one page that asks nothing of the network and says what holds."""

import base64
import dataclasses
import io
import json
import re
import types
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import flowaa
from experiments import report as report_command
from experiments.report_page import Paragraph, Section, Table, render
from experiments.report_sections import _extremes, report_of
from tests.commands import run_command
from tests.training.tiny import config_of


class Page(HTMLParser):
    """Links, pictures, identifiers and texts of a page; it fails if an element is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.pictures, self.texts = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [given[name] for name in ("href", "src") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "img":
            self.pictures.append(given)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table's run, whose rows go further out than its law."""
    folder = tmp_path_factory.mktemp("report")
    rows = np.random.default_rng(0).standard_normal((3000, 3)).astype(np.float32)
    rows[:, 1] = stats.t(2).rvs(3000, random_state=0)
    flowaa.train(config_of(**{"training.steps": 20}), folder, data=rows)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return report_of(flowaa.load_run(folder))


def test_the_page_is_whole_and_asks_nothing_of_the_network(text):
    page = Page(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert set(anchors) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert "url(" not in text
    assert "<script" not in text
    assert len(text) < 15e6
    for picture in page.pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture["src"].split(",")[1]))) as image:
            assert image.size[0] >= int(picture["width"]) > 300
        assert picture["alt"]


def test_it_shows_what_a_table_has(text):
    page = Page(text)
    assert {"trained", "trust", "training", "samples", "outliers", "extremes", "numbers"} <= set(
        page.ids)
    titles = [picture["alt"] for picture in page.pictures]
    for title in ("Features one by one", "Outliers by return period", "What is extreme"):
        assert title in titles
    assert "archetypes" not in page.ids  # the run has none


def test_it_says_the_numbers_of_the_run(text, folder):
    summary = json.loads((folder / "summary.json").read_text())
    assert f"{summary['test/bits_per_dim']:.4g}" in text
    levels = json.loads((folder / "extremes.json").read_text())
    assert f"{levels['radius/level_1000']:.4g}" in text
    assert "training.steps" in text  # a setting that is not the default


@pytest.mark.parametrize(("ks", "kind", "words"), [
    (0.4, "bad", "are not those of its law"), (0.01, "good", "say nothing against it")])
def test_the_verdict_is_that_of_the_figures(folder, ks, kind, words):
    run = flowaa.load_run(folder)
    summary = {**run.summary, "test/radius_ks": ks, "test/nll": 1.0, "test/normal_nll": 2.0}
    page = report_of(dataclasses.replace(run, summary=summary))
    assert re.search(rf'<p class="{kind}">[^<]*{words}', page)


def test_texts_are_escaped():
    page = render("<script>alert(1)</script>", "a & b", [Section(
        "x", "<b>", (Paragraph("</section>"),), (Table("t", ("h",), (("<img src=x>",),)),))])
    assert "<script" not in page
    assert "<img" not in page
    Page(page)


def test_the_command_writes_it_or_says_why_not(folder, tmp_path, capfd):
    result = run_command(report_command.main, [f"--workdir={folder}"], capfd)
    assert result.status == 0
    assert (folder / "report.html").read_bytes().decode("ascii").startswith("<!doctype html>")
    for arguments, words in (([], "--workdir"), ([f"--workdir={tmp_path}/none"], "none")):
        result = run_command(report_command.main, arguments, capfd)
        assert result.status == 2
        assert words in result.err
        assert "Traceback" not in result.err


def test_levels_without_a_radial_law_are_in_the_table(tmp_path):
    """As of a run whose base distribution is a simplex."""
    (tmp_path / "extremes.json").write_text(json.dumps({
        "radius/level_100": 3.0, "radius/level_100_low": 2.5, "radius/level_100_high": 4.0}))
    section = _extremes(types.SimpleNamespace(folder=tmp_path), tmp_path, [])
    assert section.tables[0].rows == (("1 in 100", "3", "2.5 to 4", "–"),)
