"""The report's file: its numbers are the summary's, hostile texts are data, its size is bounded, figures are files."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command, Reader
from hostile_run import HOSTILE, SWEEP

from tokenauction_cli.analysis.frames.metrics import summary_frame
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.report import fonts
from tokenauction_cli.report.charts.chart import ALL_QUERIES, Panel, ids_named
from tokenauction_cli.report.charts.figures import figures_of
from tokenauction_cli.report.charts.sweep import SweepChart
from tokenauction_cli.report.charts.vega import Series, axis_title
from tokenauction_cli.report.fonts import what_fonts_lack
from tokenauction_cli.report.page import traces as packing
from tokenauction_cli.report.report import write_report


@pytest.fixture
def swept(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(SWEEP), tmp_path / "results", SilentProgress())


class Scripts(HTMLParser):
    """What a browser's parser finds: the script elements, and every other tag."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.policy = ""
        self.inside = False

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "script":
            self.scripts.append((values, ""))
        self.inside = tag == "script"
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


def parsed(page: Path) -> Scripts:
    scripts = Scripts()
    scripts.feed(page.read_text("utf-8"))
    return scripts


def block(page: Path, name: str) -> str:
    return next(text for attributes, text in parsed(page).scripts if attributes.get("id") == name)


def test_numbers_are_the_summarys(swept: Run, tmp_path: Path) -> None:
    """Every mean and interval in the page is a number of summary.csv or pooled.csv, to the last bit."""
    data = json.loads(block(write_report([swept], tmp_path / "r.html").page, "data"))
    known: dict[tuple[Any, ...], dict[str, str]] = {}
    for name in ("summary.csv", "pooled.csv"):
        with open(swept.folder.path / name, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                query = ALL_QUERIES if name == "pooled.csv" else data["queries"].index(row["query"])
                known[query, row["aggregation"].replace("_", " "), float(row["relative_weight"])] = row
    n_numbers = 0
    for figure in data["figures"]:
        columns = {series["name"]: series["column"] for series in figure["series"]}
        for title, row in ((panel["title"], row) for panel in figure["panels"] for row in panel["rows"]):
            line = known[row["query"], title.rpartition(" · ")[2], row["x"]]
            for part, suffix in (("mean", ""), ("low", ".low"), ("high", ".high")):
                text = line[f"{columns[row['series']]}{suffix}"]
                assert row[part] == (float(text) if text else None)
                n_numbers += 1
    assert n_numbers > 500


def test_exported_figures_hold_the_same_rows(swept: Run) -> None:
    for figure in figures_of([swept]):
        for spec, query in zip(figure.on_paper().values(), (0, 1, ALL_QUERIES), strict=True):
            drawn = {view["title"]["text"]: view["data"]["values"] for view in spec["concat"]}
            assert drawn == {
                panel.title: [row for row in panel.rows if row["query"] == query] for panel in figure.panels
            }


def test_two_measures_of_welfare_share_no_axis(read: Reader, tmp_path: Path) -> None:
    rules = "auction.aggregation=[linear, power_mean, power_mean_1]"
    run = run_experiment(read(SWEEP, rules, "auction.payments=[pay_your_bid]"), tmp_path, SilentProgress())
    found = {figure.id: figure for figure in figures_of([run]) if figure.chapter == "How good the compromise is"}
    assert {key: [panel.title for panel in figure.panels] for key, figure in found.items()} == {
        "welfare.linear": ["linear", "power mean 1"],
        "welfare.power_mean": ["power mean"],
    }
    assert found["welfare.linear"].tab == "welfare, linear, power mean 1"


def test_figures_against_a_reference_stand_where_there_is_one(swept: Run) -> None:
    drawn = {figure.id for figure in figures_of([swept])}
    of_reference = {"log_ratio", "reverse_kl_sum", "quality"}
    assert not drawn & of_reference
    scored = {"log_ratio.alpha": -1.5, "log_ratio.beta": 2.0, "reverse_kl_sum.alpha": 3.0, "reverse_kl_sum.beta": 0.5}
    cells = swept.cells.assign(**scored, quality=-4.0)
    run = replace(swept, cells=cells, summary=summary_frame(swept.experiment, cells))
    found = {figure.id: figure for figure in figures_of([run])}
    assert set(found) - drawn == of_reference
    assert means(found["log_ratio"]) == {-1.5, 2}
    assert found["log_ratio"].chapter == found["log_prob"].chapter
    assert means(found["quality"]) == {-4}


def means(chart: SweepChart) -> set[float]:
    return {row["mean"] for panel in chart.panels for row in panel.rows}


def test_few_queries_are_told_in_the_data(swept: Run, tmp_path: Path) -> None:
    data = json.loads(block(write_report([swept], tmp_path / "r.html").page, "data"))
    assert data["runs"][0]["rough"].startswith("Over only 2 queries")


def test_no_axis_of_the_page_has_a_title_that_could_break(swept: Run) -> None:
    """The page writes them beside the drawing."""
    for figure in figures_of([swept]):
        encoding = figure.on_page(figure.panels[0])["layer"][-1]["encoding"]
        assert (encoding["x"]["title"], encoding["y"]["title"]) == (None, None)
        assert figure.plain["unit"] != ""


def test_every_payment_rule_has_a_scale_of_its_own(swept: Run) -> None:
    """Its panels share it: second price of 1.6 would be a flat line beside payments of 45."""
    (figure,) = (one for one in figures_of([swept]) if one.id == "revenue")
    scales: dict[str, set[tuple[float, ...]]] = {}
    for panel in figure.panels:
        domain = figure.on_page(panel)["layer"][-1]["encoding"]["y"]["scale"]["domain"]
        most = max(row["high"] for one in figure.panels if one.scale == panel.scale for row in one.rows)
        assert domain == [0, most]
        scales.setdefault(panel.scale, set()).add(tuple(domain))
    assert list(scales) == ["pay your bid", "second price"]
    assert [len(one) for one in scales.values()] == [1, 1]
    assert scales["pay your bid"] != scales["second price"]
    assert [panel.title for panel in figure.panels] == [
        *("pay your bid · linear", "pay your bid · random dictator"),
        *("second price · linear", "second price · random dictator"),
    ]


def test_of_many_queries_the_page_holds_the_first_and_all_together(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = ", ".join(f"q{k}" for k in range(12))
    run = run_experiment(read(SWEEP, f"queries=[{queries}]"), tmp_path / "results", SilentProgress())
    monkeypatch.setattr("tokenauction_cli.report.charts.figures.MOST_ROWS", 500)
    report = write_report([run], tmp_path / "r.html", ["svg"], ["mention_rate"])
    data = json.loads(block(report.page, "data"))
    n_shown = len(data["queries"])
    assert 0 < n_shown < 12
    assert data["runs"][0]["queries"] == data["queries"] == [f"q{k}" for k in range(n_shown)]
    rows = [row["query"] for row in data["figures"][0]["panels"][0]["rows"]]
    assert set(rows) == {ALL_QUERIES, *range(n_shown)}
    assert [found["query"] for found in data["lead"][0]["found"]] == [ALL_QUERIES, *range(n_shown)]
    assert {query for table in data["runs"][0]["tables"] for query in table["queries"]} == set(rows)
    assert f"the first {n_shown}; summary.csv has all" in report.notes[0]
    assert report.page.read_text("utf-8").count("<caption>") == 2, "the pooled table of each rule"
    assert [path.name for path in report.figures] == ["mention_rate.vl.json", "mention_rate.svg"]


def test_links_to_the_data_stand_where_they_work(swept: Run, tmp_path: Path) -> None:
    def links(page: Path) -> list[str]:
        return re.findall(r'href="([^"]+)"', page.read_text("utf-8"))

    name = swept.path.name
    assert links(write_report([swept], swept.path / "report.html").page)[:2] == ["cells.csv", "summary.csv"]
    assert links(write_report([swept], tmp_path / "r.html").page)[0] == f"results/{name}/cells.csv"
    elsewhere = write_report([swept], tmp_path / "moved" / "r.html").page
    assert not [link for link in links(elsewhere) if link.endswith(".csv")]
    assert f"In the run folder {name} are cells.csv" in elsewhere.read_text("utf-8")


def test_every_axis_says_its_unit(swept: Run) -> None:
    for figure in figures_of([swept]):
        for spec in figure.on_paper().values():
            for panel in spec["concat"]:
                assert panel["encoding"]["x"]["title"]
                assert " ".join(panel["encoding"]["y"]["title"]) == figure.unit != ""


def line_figure(**means: list[float]) -> SweepChart:
    """A series for each list, at the weights 0, 1 and 2."""
    series = tuple(Series(name, name, k) for k, name in enumerate(means))
    rows = tuple(
        {
            "query": 0,
            "x": float(x),
            "series": name,
            "mean": mean,
            "low": mean,
            "high": mean,
            "n": 9,
        }
        for name, line in means.items()
        for x, mean in enumerate(line)
    )
    words = dict.fromkeys(("chapter", "question", "tab", "unit"), "")
    return SweepChart(id="revenue", series=series, panels=(Panel("linear", rows),), **words)


def test_no_line_is_hidden_under_another() -> None:
    """Second price and its mean coincide, beside a payment far above: the one on top is dashed, with smaller marks."""
    figure = line_figure(bid=[40.0, 50.0, 45.0], second=[1.0, 1.2, 1.0], myerson=[1.1, 1.1, 1.0], far=[9.0, 1.0, 1.0])
    assert figure.depths == [0, 0, 1, 0]
    layers = figure.on_paper()["revenue"]["concat"][0]["layer"]
    dashes, sizes = layers[1]["encoding"]["strokeDash"]["scale"], layers[2]["encoding"]["size"]["scale"]
    assert dashes["domain"] == ["bid", "second", "myerson", "far"]
    assert [dash == [1, 0] for dash in dashes["range"]] == [True, True, False, True]
    assert sizes["range"][2] < sizes["range"][1]


def test_lines_apart_are_drawn_as_ever() -> None:
    figure = line_figure(a=[1.0, 2.0, 3.0], b=[3.0, 2.0, 1.0])
    assert "strokeDash" not in str(figure.on_paper()["revenue"]["concat"])
    assert line_figure(a=[1.0, 1.0, 1.0], b=[1.0, 1.0, 1.0], c=[1.0, 1.0, 1.0]).depths == [0, 1, 2]


def test_hostile_texts_are_data(swept: Run, tmp_path: Path) -> None:
    page = write_report([swept], tmp_path / "r.html").page
    found = parsed(page)
    frame = {"html", "head", "meta", "title", "style", "body", "main", "noscript", "script"}
    plain = {"header", "section", "h1", "h2", "p", "ul", "li", "a", "div", "details", "summary", "small"}
    assert set(found.tags) == frame | plain | {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    data = json.loads(block(page, "data"))
    texts = ["".join(words for words, _ in text) for text in data["runs"][0]["texts"]]
    assert any(HOSTILE in text for text in texts)
    assert set(texts) == set(swept.cells["text"])
    assert not re.search(r"[<>&\u2028\u2029]", block(page, "data"))


def test_the_policy_names_just_the_scripts_in_the_page(swept: Run, tmp_path: Path) -> None:
    found = parsed(write_report([swept], tmp_path / "r.html").page)
    running = [text for attributes, text in found.scripts if "type" not in attributes]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running}
    assert set(re.findall(r"'sha256-([^']+)'", found.policy)) == hashes
    assert found.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in found.policy


def test_texts_are_marked_where_agents_are_named(swept: Run, tmp_path: Path) -> None:
    run = json.loads(block(write_report([swept], tmp_path / "r.html").page, "data"))["runs"][0]
    marked = {words for text in run["texts"] for words, agent in text if agent == 1}
    assert marked == {"Beta Resort"}
    for column in ("query", "rule", "point", "seed", "text", "tokens", "end"):
        assert len(run["cells"][column]) == len(swept.cells)


def test_traces_are_those_of_the_records(swept: Run, tmp_path: Path) -> None:
    packed = block(write_report([swept], tmp_path / "r.html").page, "traces-0")
    found = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert len(found["cells"]) == len(swept.cells)
    recorded = dict(swept.traces())
    for position, cell in enumerate(swept.cells["cell"]):
        trace, own = recorded[cell], found["cells"][str(position)]
        assert [found["words"][k] for k in own["w"]] == trace["pieces"]
        assert [None if q is None else q / 1000 for q in own["q"]] == pytest.approx(trace["log_q"])
        tokens, log_p, _ = found["lists"][own["c"][0]]
        assert [found["words"][k] for k in tokens] == trace["candidates"][0]["tokens"]
        assert [None if p is None else p / 1000 for p in log_p[0]] == trace["candidates"][0]["log_p"][0]


def test_a_large_run_embeds_the_traces_of_a_sample(swept: Run, tmp_path: Path, monkeypatch: Any) -> None:
    whole = len(block(write_report([swept], tmp_path / "whole.html").page, "traces-0"))
    monkeypatch.setattr("tokenauction_cli.report.report.MOST_BYTES", whole - 1)
    report = write_report([swept], tmp_path / "r.html")
    assert len(block(report.page, "traces-0")) < whole
    assert re.search(r"the traces of [123] of 4 seeds", report.notes[0])
    assert report.notes[0] in json.loads(block(report.page, "data"))["notes"]
    twice = write_report([swept, swept], tmp_path / "twice.html").notes
    assert len(twice) == len(set(twice)), "what holds of several runs of a name is said once"


def test_460_cells_of_48_tokens_stay_below_3_mb(tmp_path: Path, read: Reader, monkeypatch: Any) -> None:
    """With noise for probabilities and hardly a shared prefix, which no real run is as hard to press as."""
    text = SWEEP.replace(
        "relative_weight: [0, 0.5, 1], seeds: 4", "relative_weight: {from: 0, to: 1, step: 0.1}, seeds: 21"
    )
    swept = run_experiment(read(text, "queries=[q]"), tmp_path / "results", SilentProgress())
    assert len(swept.cells) >= 460
    rng = np.random.default_rng(0)

    def noisy() -> list[float | None]:
        return [round(float(x), 3) for x in -rng.exponential(3, size=48)]

    def candidates() -> dict[str, Any]:
        words = [f" word{k}" for k in rng.integers(0, 3000, 12)]
        log_p = -rng.exponential(3, size=(3, 12)).round(3)
        return {"tokens": words, "log_p": log_p[:2].tolist(), "log_q": log_p[2].tolist()}

    def traces(cells: set[str]) -> Any:
        for cell in filter(cells.__contains__, swept.cells["cell"]):
            rows = {"log_p": [noisy(), noisy()], "posterior": [noisy(), noisy()], "log_q": noisy()}
            paid = {"second_price": [noisy(), noisy()]}
            words = [f" word{k}" for k in rng.integers(0, 3000, 48)]
            yield cell, [], {"pieces": words, **rows, "payments": paid, "candidates": [candidates() for _ in range(48)]}

    monkeypatch.setattr(swept.folder, "traces", traces)
    report = write_report([swept], tmp_path / "r.html")
    assert report.page.stat().st_size < 3_000_000
    assert len(block(report.page, "traces-0")) > packing.MOST_BYTES / 2
    assert "seeds, to stay small" in report.notes[0]


def test_two_runs_stand_side_by_side(swept: Run, read: Reader, tmp_path: Path) -> None:
    other = run_experiment(
        read(SWEEP.replace("name: hostile", "name: other"), "seed=1"), tmp_path / "o", SilentProgress()
    )
    data = json.loads(block(write_report([swept, other], tmp_path / "r.html").page, "data"))
    assert [(panel["run"], panel["title"]) for panel in data["figures"][0]["panels"]] == [
        *((0, "hostile · linear"), (0, "hostile · random dictator")),
        *((1, "other · linear"), (1, "other · random dictator")),
    ]
    assert data["runs"][0]["agents"][0]["colour"] == data["runs"][1]["agents"][0]["colour"]
    assert data["title"] == "hostile and other"


def test_no_path_of_this_machine_is_in_the_page(swept: Run, tmp_path: Path) -> None:
    assert str(tmp_path) not in write_report([swept], tmp_path / "r.html").page.read_text("utf-8")


def test_only_the_figures_that_are_named(swept: Run, tokauction: Command) -> None:
    done = tokauction("report", str(swept.folder.path), "--figures", "mention_rate, payment")
    assert done.returncode == 0, done.stderr
    names = {path.name.split(".")[0] for path in (swept.folder.path / "figures").iterdir()}
    assert names == {"mention_rate", "payment"}
    ids = [figure.id for figure in figures_of([swept])]
    assert ids_named(ids, ["payment"]) == {one for one in ids if one.startswith("payment.")}
    assert ids_named(ids, ["revenue"]) == {"revenue"}
    wrong = tokauction("report", str(swept.folder.path), "--figures", "mention_rat")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "there is no figure 'mention_rat'; did you mean 'mention_rate'?" in wrong.stderr
    assert all(one in wrong.stderr for one in ids)


def test_figures_in_three_formats(swept: Run, tmp_path: Path, monkeypatch: Any) -> None:
    chosen = [figure for figure in figures_of([swept]) if figure.id == "mention_rate"]
    monkeypatch.setattr("tokenauction_cli.report.report.figures_of", lambda runs: chosen)
    report = write_report([swept], tmp_path / "r.html", ["svg", "pdf", "png"])
    names = {
        f"mention_rate.{query}.{kind}"
        for query in ("query-1", "query-2", "all")
        for kind in ("svg", "pdf", "png", "vl.json")
    }
    assert {path.name for path in report.figures} == names
    folder = tmp_path / "r-figures"
    pdf = (folder / "mention_rate.all.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile" in pdf
    width = re.search(rb"/MediaBox \[0 0 ([\d.]+)", pdf)
    assert width is not None
    assert 200 < float(width[1]) < 260  # one column of a paper
    assert (folder / "mention_rate.all.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "mention_rate.all.svg").read_text("utf-8")
    assert json.loads((folder / "mention_rate.all.vl.json").read_text("utf-8"))["$schema"].endswith("v6.json")


def test_a_long_name_of_wide_letters_breaks_in_time() -> None:
    """Each is as wide as two others: 24 of them fill a line."""
    assert axis_title("relative weight of " + "海" * 40) == ["relative weight of", "海" * 24, "海" * 16]


class FontsOf:
    """A converter whose fonts have these letters and no others."""

    def __init__(self, letters: str) -> None:
        self._letters = letters

    def svg_to_png(self, svg: str) -> bytes:
        letter = svg.split("</text>")[0][-1]
        return letter.encode() if letter in self._letters else b"box"


NAMES = [{"title": "Hôtel, 海景酒店, 호텔, ホテル, โรงแรม 🏝️"}]


@pytest.mark.parametrize(
    ("letters", "scripts", "packages"),
    [
        ("ôホテル", "Thai, Han and Hangul", "fonts-noto-cjk and fonts-noto-core"),
        ("ôホテル호텔海景酒โรงแม", "Han", "fonts-noto-cjk"),  # one letter is missing
        ("ホテル호텔海景酒店โรงแม", "Latin", "fonts-noto-core"),
    ],
)
def test_the_scripts_that_fonts_lack_are_named(letters: str, scripts: str, packages: str) -> None:
    assert what_fonts_lack(FontsOf(letters), NAMES) == (  # type: ignore[arg-type]
        f"Figures in PDF and PNG have boxes where letters of {scripts} should be: fonts here lack them. "
        f"Install fonts that do, on Debian {packages}, and write the figures again."
    )


def test_vl_convert_draws_what_no_font_has_as_what_is_no_character() -> None:
    """It brings letters of Europe and of Hebrew; U+0378 is no letter of any font."""
    vl_convert = pytest.importorskip("vl_convert")
    assert what_fonts_lack(vl_convert, [{"title": "Hôtel, отель, ξενοδοχείο, מלון"}]) == ""
    picture = "tokenauction_cli.report.fonts._picture"
    with pytest.MonkeyPatch.context() as patch:
        draw = fonts._picture
        patch.setattr(picture, lambda converter, letter: draw(converter, "\u0378" if letter == "海" else letter))
        assert "letters of Han should be" in what_fonts_lack(vl_convert, [{"title": "海"}])


def test_only_files_with_fonts_of_this_machine_warn(swept: Run, tmp_path: Path, monkeypatch: Any) -> None:
    """Once for all figures, and not on the page."""
    monkeypatch.setattr("tokenauction_cli.report.report.what_fonts_lack", lambda converter, specs: "boxes")
    for formats, warned in ((["svg"], 0), (["svg", "png", "pdf"], 1), ([], 0)):
        report = write_report([swept], tmp_path / "r.html", formats, ["mention_rate"])
        assert report.notes.count("boxes") == warned
        assert "boxes" not in json.loads(block(report.page, "data"))["notes"]


def test_without_the_extra_texts_and_numbers_still_come(
    swept: Run, tmp_path: Path, command_line: list[str], environment: dict[str, str]
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "vl_convert").mkdir(parents=True)
    (hidden / "vl_convert" / "__init__.py").write_text("raise ImportError('hidden by a test')\n")
    path = f"{hidden}:{environment['PYTHONPATH']}"
    done = subprocess.run(
        [*command_line, "report", str(swept.folder.path), "--page", str(tmp_path / "r.html")],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'vl-convert-python>=1.9'" in done.stderr
    data = json.loads(block(tmp_path / "r.html", "data"))
    assert "charts" in data["notes"][0]
    assert data["figures"][0]["panels"][0]["rows"]
    assert not (tmp_path / "r-figures").exists()


def test_the_command(swept: Run, tokauction: Command) -> None:
    done = tokauction("report", str(swept.folder.path), "--figures", "none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(swept.folder.path / "report.html")
    assert Path(done.stdout.strip()).is_file()
    by_file = tokauction(
        "report", str(swept.experiment.path), "--results", "results", "--figures", "none", "--page", "x/y.html"
    )
    assert by_file.returncode == 0, by_file.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: there is no such folder or file"),
        (["results", "--figure-format", "gif"], "--figure-format gif: expected a list of svg, pdf, png"),
        (["results", "--figures", ","], "--figures needs names of figures"),
        ([], "Missing argument"),
    ],
)
def test_bad_usage(tokauction: Command, arguments: list[str], words: str) -> None:
    done = tokauction("report", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_help_stays_quick() -> None:
    """Nothing heavy is imported to parse a command line."""
    code = "import sys, tokenauction_cli.cli.app; print({'vl_convert', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
