"""The report in a real browser: it opens from a file without a word on the console and without a request.

Chromium is the system's (Debian: apt install chromium), driven by playwright. Without it these tests are skipped, or
fail where TOKAUCTION_BROWSER_TESTS=required, which `.ci/run` sets.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_run import HOSTILE, SWEEP
from text_audit_files import MISREPORT, write_text_audit

from tokenauction_cli.analysis.columns.columns import explained, figure_explained
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import audit_run, run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.report.charts.chart import of_agents
from tokenauction_cli.report.prose import findings
from tokenauction_cli.report.report import write_report

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


def missing(what: str) -> None:
    message = f"{what}: the report is not tested in a browser"
    if os.environ.get("TOKAUCTION_BROWSER_TESTS") == "required":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        missing("there is no Chromium (Debian: apt install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (extra dev)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "e.yaml").write_text(SWEEP, "utf-8")
    return run_experiment(load_experiment(folder / "e.yaml"), folder / "results", SilentProgress())


@pytest.fixture(scope="module")
def report(swept: Run) -> Path:
    return write_report([swept], swept.folder.path / "report.html").page


class Opened:
    """A page and what it did while it was open."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": DESKTOP, **options})
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("dialog", lambda dialog: self.console.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector(".card")

    def charts(self) -> None:
        """Wait until every chart is drawn; nothing is scrolled."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.chart')].every(chart => chart.view || chart.closest('[hidden]'))"
        )

    def slide(self, place: int) -> None:
        self.page.locator("#weight").fill(str(place))

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.text_content())

    def colour(self, selector: str, name: str = "background-color") -> str:
        value = self.page.locator(selector).first.evaluate(f"element => getComputedStyle(element)['{name}']")
        return str(value)


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    """The page, opened; afterwards nothing was said on the console and nothing but the file was asked for."""
    opened = Opened(browser, report)
    yield opened
    assert opened.console == []
    assert opened.requests == [report.as_uri()]
    opened.page.close()


def test_it_draws_every_chart(opened: Opened) -> None:
    opened.charts()
    assert opened.page.locator(".chart svg").count() == opened.page.locator(".chart").count() > 8


def test_charts_hold_the_numbers_of_the_summary(opened: Opened, swept: Run) -> None:
    opened.page.get_by_label("query").select_option("0")
    opened.charts()
    charts = opened.page.evaluate(
        "() => [...document.querySelectorAll('.chart')].map("
        "c => ({figure: c.dataset.figure, panel: c.dataset.panel, rows: c.view.data('rows')}))"
    )
    rates = {chart["panel"]: chart["rows"] for chart in charts if chart["figure"] == "mention_rate"}
    names = {
        "Beta Resort": "mention_rate.beta",
        'Alpha "A" <b>': "mention_rate.alpha",
        "both in one text": "co_mention_rate",
    }
    summary = swept.summary[swept.summary["query"] == "q"]
    for rule in ("linear", "random_dictator"):
        group = summary[summary["aggregation"] == rule].set_index("relative_weight")
        drawn = rates[rule.replace("_", " ")]
        assert len(drawn) == 3 * 3
        for row in drawn:
            column = names[row["series"]]
            expected = [group.loc[row["x"], f"{column}{part}"] for part in ("", ".low", ".high")]
            assert [row["mean"], row["low"], row["high"]] == expected


def test_the_slider_changes_texts_table_and_charts(opened: Opened, swept: Run) -> None:
    opened.charts()
    cells = swept.cells[
        (swept.cells["query"] == "q") & (swept.cells["seed"] == 0) & (swept.cells["aggregation"] == "linear")
    ]
    for place, weight in enumerate((0.0, 0.5, 1.0)):
        opened.slide(place)
        text = cells[cells["relative_weight"] == weight]["text"].iloc[0].strip()
        shown = opened.text(".card .text").strip()
        seen = text.replace("\u202e", "\\u202e").replace("\x07", "\\u0007") or "(nothing)"
        is_cut = cells[cells["relative_weight"] == weight]["end_reason"].iloc[0] == "length"
        assert shown == (f"{seen}…" if is_cut else seen)
        assert opened.text(".weight") == f"{weight:.2f}"
        assert opened.text(".paper tr.current th") == f"{weight:.2f}"
        at = opened.page.evaluate("() => document.querySelector('.chart').view.signal('at')")
        assert at == weight


def test_figures_and_tables_say_in_words_what_their_columns_are(opened: Opened) -> None:
    """Under every chart and table, in the words of docs/reference/columns.md."""
    charts = opened.page.evaluate("() => [...document.querySelectorAll('[data-figure]')].map(e => e.dataset.figure)")
    told = "() => [...document.querySelectorAll('.chapters .what')].map(what => what.textContent)"
    words = opened.page.evaluate(told)
    assert len(words) == len(set(charts)) > 8
    assert "Share of the texts that mention each agent. Interval: Wilson, unpaired. Unit: share." in words[0]
    assert any(figure_explained("revenue.second_price") in one for one in words)
    assert f"tau: {explained('trends.csv', 'tau')}" in opened.text(".statistics .what")
    assert "which is its share of the bids" in opened.text(".intro >> nth=1")
    assert "log-probabilities with the natural logarithm" in opened.text("#the-words")
    opened.page.locator(".card button.open").first.click()
    opened.page.wait_for_selector(".paid tbody th")
    paid = opened.page.locator(".paid tbody th").first.get_attribute("title")
    assert paid == of_agents(figure_explained("payment.pay_your_bid.A"))


UNFOLDED = "() => [...document.querySelectorAll('.incentives .chart')].filter(e => !e.closest('.off')).length"

WITHOUT_A_TOOLTIP = """() => {
  const quoted = "pre, code, h1, h4, .card h3, .text, .tokens, .other span[dir], .paper td, .chart, option, .cut";
  const words = ".top, .about, .note, .glossary, .squares, .contents, footer, :has(> .what), dd, h2, h3, summary";
  const names = "caption, .tabs, .go";
  const walker = document.createTreeWalker(document.querySelector(ROOT), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (/[0-9]/.test(data) && !parentElement.closest(`[title], ${quoted}, ${words}, ${names}`)) found.push(data);
  }
  return found;
}"""


def test_every_number_has_words_or_a_tooltip(browser: Any, audited: Path) -> None:
    opened = Opened(browser, audited)
    assert opened.page.evaluate(WITHOUT_A_TOOLTIP.replace("ROOT", '"main"')) == []
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .token")
    assert opened.page.evaluate(WITHOUT_A_TOOLTIP.replace("ROOT", '"dialog"')) == []
    opened.page.close()


def test_findings_and_charts_speak_of_all_queries_until_one_is_chosen(opened: Opened, swept: Run) -> None:
    def rows() -> set[int]:
        opened.charts()
        queries = "() => document.querySelector('.chart').view.data('rows').map(row => row.query)"
        return set(opened.page.evaluate(queries))

    def told() -> list[str]:
        return list(opened.page.locator(".findings li").all_text_contents())

    assert opened.text(".findings h4") == "Both queries together"
    assert told() == [found.text for found in findings(swept, None)]
    assert rows() == {-1}
    for query in (1, 0):
        opened.page.get_by_label("query").select_option(str(query))
        assert told()[-1] == findings(swept, swept.experiment.queries[query])[-1].text
        assert rows() == {query}
    assert opened.text(".findings h4") == "“q”"
    opened.page.get_by_label("query").select_option("-1")
    assert rows() == {-1}


def test_the_slider_stands_where_the_swept_agents_share_ends(opened: Opened) -> None:
    for place, weight in enumerate((0.0, 0.5, 1.0)):
        opened.slide(place)
        opened.page.wait_for_timeout(200)  # the bar moves
        bar, own = (opened.page.locator(one).first.bounding_box() for one in (".shares", ".shares span"))
        track = opened.page.locator("#weight").bounding_box()
        assert bar is not None
        assert own is not None
        assert track is not None
        assert (track["x"] + 11, track["width"] - 22) == pytest.approx((bar["x"], bar["width"]), abs=0.5)
        assert own["width"] == pytest.approx(weight * bar["width"], abs=0.5)


def test_squares_have_axes_and_a_legend(opened: Opened) -> None:
    assert [*opened.page.locator(".across").first.locator("span").all_text_contents()] == [
        *("0", 'weight of Alpha "A" <b>', "1")
    ]
    assert [*opened.page.locator(".down").first.locator("span").all_text_contents()] == ["0", "seed", "3"]
    assert [*opened.page.locator(".squares li").all_text_contents()] == [
        *('names Alpha "A" <b>', "names Beta Resort", "names both", "names nobody", "…cut at 3 tokens")
    ]


def test_texts_cut_by_max_tokens_say_so(opened: Opened, swept: Run) -> None:
    n_cut = int((swept.cells[swept.cells["query"] == "q"]["end_reason"] == "length").sum())
    assert n_cut > 0
    n_marked = 0
    for place in range(3):
        opened.slide(place)
        for other in opened.page.locator(".others li").all():
            times = int(str(other.locator(".count").text_content()).removesuffix("×"))
            n_marked += times * other.locator("abbr.cut").count()
    assert n_marked == n_cut
    assert "at most 3 tokens" in str(opened.page.locator("abbr.cut").first.get_attribute("title"))


def test_seeds_queries_and_the_map(opened: Opened) -> None:
    opened.page.get_by_role("button", name="next seed").click()
    assert opened.text(".stepper .seed") == "seed 1"
    opened.page.locator(".card .map i[data-point='2'][data-seed='3']").first.click()
    assert opened.text(".stepper .seed") == "seed 3"
    assert opened.text(".weight") == "1.00"
    opened.page.get_by_label("query").select_option("1")
    opened.charts()
    rows = opened.page.evaluate("() => document.querySelector('.chart').view.data('rows').map(row => row.query)")
    assert set(rows) == {1}


def test_the_inspector_opens_and_follows(opened: Opened, swept: Run) -> None:
    opened.slide(1)
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .token")
    cell = swept.cells[(swept.cells["query"] == "q") & (swept.cells["point"] == 1)].iloc[0]
    trace = dict(swept.traces())[cell["cell"]]
    assert opened.page.locator(".token").count() == len(trace["pieces"])
    opened.page.locator(".token").nth(0).hover()
    assert opened.page.locator(".token").nth(0).get_attribute("aria-selected") == "true"
    rows = opened.page.locator(".candidates tbody tr")
    assert rows.count() == len(trace["candidates"][0]["tokens"])
    assert opened.page.locator(".candidates tr.drawn").count() == 1
    for k, candidates in enumerate(trace["candidates"]):
        opened.page.locator(".token").nth(k).hover()
        assert rows.count() == len(candidates["tokens"]), "the drawn token is one of the candidates"
    opened.page.locator(".token").nth(0).hover()
    assert "second price" in opened.text(".paid")
    opened.page.locator(".token").nth(0).focus()
    opened.page.keyboard.press("ArrowRight")
    if len(trace["pieces"]) > 1:
        assert opened.page.locator(".token").nth(1).get_attribute("aria-selected") == "true"
    opened.page.locator(".colouring select").select_option("second_price")
    opened.page.locator(".mirror").fill("2")
    opened.page.wait_for_function("() => document.querySelector('dialog h2').textContent.includes('weight 1')")
    opened.page.keyboard.press("Escape")
    assert opened.page.locator("dialog[open]").count() == 0


def test_hostile_text_is_inert(opened: Opened) -> None:
    """Everything hostile is on the page, as text: in texts, in names, in queries and in the inspector."""
    opened.charts()
    assert opened.page.locator("img, main script, b b").count() == 0
    for seed in range(4):
        for place in range(3):
            opened.slide(place)
            opened.page.locator("button.open").first.click()
            opened.page.wait_for_selector("dialog[open] .token")
            opened.page.keyboard.press("Escape")
        opened.page.get_by_role("button", name="next seed").click()
        assert seed is not None
    body = str(opened.page.locator("body").text_content())
    assert "</script><img src=x onerror=alert(1)>" in body
    assert "\u202e" not in str(opened.page.locator("main").text_content())
    assert opened.page.evaluate("() => document.querySelectorAll('img, iframe, object, embed, link, base').length") == 0
    assert HOSTILE[:9] in str(opened.page.evaluate("() => document.querySelector('select').textContent"))


@pytest.fixture(scope="module")
def audited(swept: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run with an audit, which is there for this page alone."""
    audit_run(swept, 20, tell=lambda text: None)
    page = write_report([swept], tmp_path_factory.mktemp("audited") / "report.html").page
    for name in ("audit.csv", "audit.txt"):
        (swept.path / name).unlink()
    return page


def test_an_audit_has_a_section_and_a_glossary(browser: Any, audited: Path, report: Path) -> None:
    opened = Opened(browser, audited)
    assert opened.page.locator(".audited").count() == 2
    heads = opened.page.locator("[data-grid=regret]").first.locator("thead th").all_text_contents()
    assert heads == ["TV", "forward KL", "reverse KL"]
    rows = opened.page.locator("[data-grid=regret] tbody tr").all_text_contents()
    assert rows[0].startswith("pay your bid")
    assert rows[1].startswith("second price0")  # truthful in TV
    assert "second price: " in opened.text(".says li:last-child")
    words = opened.page.locator(".glossary dt").all_text_contents()
    assert {"prefix", "forward KL", "reverse KL", "defined", "consistent", "regret", "sybils"} < set(words)
    assert opened.console == []
    opened.page.close()
    without = Opened(browser, report)
    assert without.page.locator(".audit").count() == 0
    without.page.close()


@pytest.fixture(scope="module")
def of_texts(swept: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run with an audit of whole texts, which is there for this page alone."""
    write_text_audit(swept.path, ("mention", "log_ratio"))
    page = write_report([swept], tmp_path_factory.mktemp("texts") / "report.html").page
    for path in swept.path.glob("text_*"):
        path.unlink()
    return page


def test_an_audit_of_whole_texts_has_a_section(browser: Any, of_texts: Path, report: Path) -> None:
    opened = Opened(browser, of_texts)
    opened.charts()
    heads = opened.page.locator(".incentives h3").all_text_contents()
    assert heads == [
        *("What the best deviation gains", "Utility against the bid", "Payment against the bid"),
        "Where best responses lead",
    ]
    charts = opened.page.locator(".incentives .chart")
    assert charts.count() == opened.page.locator(".incentives .chart svg").count()
    assert opened.page.evaluate(UNFOLDED) == 2 + 6 + 6 + 6
    assert opened.page.locator(".incentives .statistics").count() == 4  # in words, and three tables
    opened.page.get_by_role("tab", name="Beta Resort, log ratio").first.click()
    opened.charts()
    beta = opened.page.locator("[data-figure='text_utility.beta.log_ratio'] svg")
    assert [one.is_visible() for one in beta.all()] == [True] * 6
    assert opened.console == []
    opened.page.close()
    without = Opened(browser, report)
    assert without.page.locator(".incentives").count() == 0
    without.page.close()


def test_a_point_of_such_a_chart_tells_its_deviation(browser: Any, of_texts: Path) -> None:
    opened = Opened(browser, of_texts)
    opened.charts()
    by_seeds = opened.page.locator("[data-figure='text_utility.alpha.mention']").nth(4)
    by_seeds.locator(".mark-symbol path").last.hover(force=True)
    opened.page.wait_for_selector(".tip:not([hidden])")
    told = opened.text(".tip")
    assert "utility per text, units of the bids" in told
    assert "200 texts" in told
    assert MISREPORT in told or "honest" in told
    opened.page.close()


def test_the_charts_of_whole_texts_fit_any_light_and_width(browser: Any, of_texts: Path) -> None:
    dark = Opened(browser, of_texts, color_scheme="dark", viewport=PHONE)
    dark.charts()
    assert dark.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    line = dark.page.locator("[data-figure='text_utility.alpha.mention'] .mark-line path").first
    before = line.evaluate("e => getComputedStyle(e).stroke")
    dark.page.get_by_role("button", name="light or dark").click()
    assert line.evaluate("e => getComputedStyle(e).stroke") != before
    assert dark.page.evaluate(WITHOUT_A_TOOLTIP.replace("ROOT", '".incentives"')) == []
    assert dark.page.locator(".incentives img, .incentives b b").count() == 0
    assert dark.console == []
    dark.page.close()


def test_without_traces_nothing_offers_to_look_closer(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(SWEEP.replace("trace: top_k", "trace: none"), "utf-8")
    run = run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "results", SilentProgress())
    opened = Opened(browser, write_report([run], tmp_path / "r.html").page)
    assert "look" not in opened.text(".stage").lower()
    assert opened.page.locator(".open").count() == 2
    assert opened.page.locator("button.open").count() == 0
    opened.page.close()


def test_the_policy_blocks_what_is_not_the_reports(browser: Any, report: Path) -> None:
    opened = Opened(browser, report)
    blocked: list[str] = []
    opened.page.on("requestfailed", lambda request: blocked.append(request.failure))
    opened.page.evaluate(
        "() => { const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i); }"
    )
    opened.page.evaluate(
        "() => { const s = document.createElement('script'); s.text = 'window.bad = 1'; document.body.append(s); }"
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("() => window.bad") is None
    assert len([line for line in opened.console if "Content Security Policy" in line]) >= 2
    assert blocked == ["csp"]
    opened.page.close()


def test_dark_mode_and_the_button(browser: Any, report: Path) -> None:
    dark = Opened(browser, report, color_scheme="dark")
    dark.charts()
    night = dark.colour("html")
    line = dark.page.locator(".chart path[stroke]").first
    assert night == "rgb(20, 20, 22)"
    assert dark.colour("mark") != "rgba(0, 0, 0, 0)"
    before = line.evaluate("e => getComputedStyle(e).stroke")
    dark.page.get_by_role("button", name="light or dark").click()
    assert dark.colour("html") == "rgb(255, 255, 255)"
    assert line.evaluate("e => getComputedStyle(e).stroke") != before  # charts follow without being drawn again
    assert dark.console == []
    dark.page.close()


def test_a_phone_needs_no_sideways_scrolling(browser: Any, report: Path) -> None:
    phone = Opened(browser, report, viewport=PHONE, has_touch=True)
    phone.charts()
    assert phone.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    phone.page.locator("button.open").first.tap()
    phone.page.wait_for_selector("dialog[open] .token")
    box = phone.page.locator("dialog").bounding_box()
    assert box is not None
    assert box["width"] <= PHONE["width"]
    assert phone.console == []
    phone.page.close()


CUT = """() => {
  const dialog = document.querySelector("dialog").getBoundingClientRect();
  const isCut = (element) => {
    const box = element.getBoundingClientRect();
    const hides = getComputedStyle(element).display !== "inline" && element.scrollWidth > element.clientWidth + 1;
    return box.right > dialog.right || box.left < dialog.left || hides;
  };
  return [...document.querySelectorAll(".paid *")].filter(isCut).map((element) => element.textContent);
}"""


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP])
@pytest.mark.parametrize("n_agents", [3, 8])
def test_payments_of_many_agents_are_not_cut(
    browser: Any, tmp_path: Path, n_agents: int, viewport: dict[str, int]
) -> None:
    third = '  - {name: The Gamma Restaurant NUMBER, distribution: {" x": 0.5, <end>: 0.5}}\n'
    more = "".join(third.replace("NUMBER", str(k)) for k in range(n_agents - 2))
    (tmp_path / "e.yaml").write_text(SWEEP.replace("auction:\n", f"{more}auction:\n"), "utf-8")
    run = run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "results", SilentProgress())
    opened = Opened(browser, write_report([run], tmp_path / "r.html").page, viewport=viewport)
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .paid")
    assert opened.page.locator(".paid tbody tr").first.locator(".amounts > span").count() == n_agents
    assert opened.page.evaluate(CUT) == []
    assert opened.page.evaluate("() => document.querySelector('dialog').scrollWidth") <= viewport["width"]
    opened.page.close()


def test_it_prints(browser: Any, report: Path, tmp_path: Path) -> None:
    """On paper it is light, has every chart of every tab, and leaves out what one would click."""
    opened = Opened(browser, report, color_scheme="dark")
    opened.charts()
    opened.slide(2)
    opened.page.emulate_media(media="print")
    drawn = [one.bounding_box() for one in opened.page.locator(".chart svg").all()]
    assert len(drawn) > 20
    assert all(box and box["height"] > 50 for box in drawn)
    assert opened.page.locator(".printed").is_visible()
    assert opened.text(".printed") == 'weight of Alpha "A" <b>: 1.00 · seed 0 · query “q”, numbers of all together'
    assert opened.colour("html") == "rgb(255, 255, 255)"
    assert not opened.page.locator(".controls").is_visible()
    assert opened.page.locator(".paper").is_visible()
    opened.page.pdf(path=tmp_path / "r.pdf")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    opened.page.close()


def test_two_runs(browser: Any, swept: Run, tmp_path: Path) -> None:
    page = write_report([swept, swept], tmp_path / "two.html").page
    opened = Opened(browser, page)
    opened.charts()
    assert opened.page.locator(".card").count() == 4
    opened.page.locator("button.open").nth(2).click()
    opened.page.wait_for_selector("dialog[open] .token")
    assert opened.console == []
    opened.page.close()


def test_merged_runs_show_only_what_they_have(browser: Any, swept: Run, tmp_path: Path) -> None:
    other = SWEEP.replace("name: hostile", "name: other").replace("queries: [q, ", "queries: [other, ")
    (tmp_path / "e.yaml").write_text(other.replace("[0, 0.5, 1]", "[0.25, 0.5]"), "utf-8")
    run = run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "results", SilentProgress())
    opened = Opened(browser, write_report([swept, run], tmp_path / "two.html").page)

    def shown(selector: str) -> list[str]:
        return [one.inner_text() for one in opened.page.locator(selector).all() if one.is_visible()]

    opened.page.get_by_label("query").select_option("0")  # of the first run alone
    assert [words.split(" ")[0] for words in shown(".card h3")] == ["hostile", "hostile"]
    assert [words.split(" ")[0] for words in shown(".chapter:first-child figcaption")] == ["hostile", "hostile"]
    opened.page.get_by_label("query").select_option("1")  # of both
    assert len(shown(".card h3")) == 4
    opened.slide(3)  # 1, which the second run lacks
    assert shown(".none") == ["this run has no text at 1.00; go to 0.50"] * 2
    opened.page.locator(".go").first.click()
    assert opened.text(".weight") == "0.50"
    assert shown(".none") == []
    assert opened.console == []
    opened.page.close()


def test_without_charts_the_numbers_are_open(browser: Any, swept: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tokenauction_cli.report.report.vl_convert", lambda: None)
    opened = Opened(browser, write_report([swept], tmp_path / "r.html").page)
    assert opened.page.locator(".chart").count() == 0
    assert opened.page.locator(".numbers[open] tbody tr").count() > 50
    assert "pip install" in opened.text(".note")
    assert opened.console == []
    opened.page.close()


LETTERS = """
name: characters
agents:
  - {name: Ann, distribution: {"café <b> ": 0.4, "é": 0.1, "è": 0.1, "\\u202e": 0.1, " ": 0.1, <end>: 0.2}}
  - {name: Bob, distribution: {"caf": 0.2, "é": 0.1, "è": 0.2, "\\u202e": 0.1, "<b>": 0.1, " ": 0.2, <end>: 0.1}}
auction: {alphabet: bytes, max_bytes: 14, trace: top_k, payments: [pay_your_bid, second_price], aggregation: [linear]}
sweep: {relative_weight: [0, 0.5, 1], seeds: 12}
"""


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "e.yaml").write_text(LETTERS, "utf-8")
    return run_experiment(load_experiment(folder / "e.yaml"), folder / "results", SilentProgress())


def inspected(run: Run, cell: str) -> dict[str, Any]:
    """The trace of a text as the inspector shows it."""
    return dict(dict(run.traces(words=True))[cell])


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_the_inspector_shows_the_words_of_a_text_of_bytes(
    browser: Any, of_bytes: Run, tmp_path: Path, viewport: dict[str, int]
) -> None:
    page = write_report([of_bytes], tmp_path / "report.html").page
    opened = Opened(browser, page, viewport=viewport)
    assert "byte by byte" in opened.text(".lead")
    assert "cut at 14 bytes" in opened.text(".squares")
    at_half = of_bytes.cells[of_bytes.cells["relative_weight"] == 0.5].set_index("seed")
    ends = set()
    for cell in (at_half.loc[seed] for seed in range(12)):
        if cell["end_reason"] != "failed":
            trace = inspected(of_bytes, cell["cell"])
            opened.page.locator("button.open").first.click()
            opened.page.wait_for_selector("dialog[open] .token")
            tokens = opened.page.locator(".token").all_text_contents()
            shown = [piece.replace("\u202e", "\\u202e") for piece in trace["pieces"]]
            assert [token.removesuffix("▪") for token in tokens] == shown
            opened.page.locator(".token").last.click()
            contested, head = trace["contested"][-1], opened.text(".detail h3")
            assert opened.text(".candidates th").startswith(f"byte {contested['at'] + 1}")
            drawn = opened.page.locator(".candidates tr.drawn td").first.text_content()
            assert drawn == contested["name"].replace(" ", "␣")
            assert ("<end>" in head) == (cell["end_reason"] == "end") == tokens[-1].endswith("▪")
            assert "Paid for this word" in opened.text(".paid >> xpath=..")
            wide = opened.page.evaluate("() => document.querySelector('dialog').scrollWidth > innerWidth")
            assert not wide
            ends.add(cell["end_reason"])
            opened.page.keyboard.press("Escape")
        opened.page.get_by_role("button", name="next seed").click()
    assert {"end", "length"} <= ends
    assert opened.console == []
    opened.page.close()


def test_runs_of_tokens_and_of_bytes_share_a_page(browser: Any, of_bytes: Run, swept: Run, tmp_path: Path) -> None:
    opened = Opened(browser, write_report([swept, of_bytes], tmp_path / "report.html").page)
    opened.charts()
    assert "Choose a text to look at its tokens or words." in opened.text(".stage .about")
    assert "cut at 3 tokens or 14 bytes" in opened.text(".squares")
    assert opened.console == []
    opened.page.close()


FROM_RIGHT_TO_LEFT = """
name: directions
queries: ["ما هو أفضل فندق؟"]
agents:
  - {name: מלון הים, id: sea, distribution: {מלון: 0.4, הים: 0.4, טוב: 0.2}, mentions: [הים]}
  - {name: 山间酒店, id: hill, distribution: {הים: 0.5, טוב: 0.5}, mentions: [טוב]}
auction: {max_tokens: 4, trace: top_k, payments: [pay_your_bid]}
sweep: {relative_weight: [0, 0.5, 1], seeds: 3}
"""

# Where a name ends and the number after it begins, in every place that has both.
ENDS = """selector => [...document.querySelectorAll(selector)].filter(one => one.querySelector('bdi')).map(one => {
  const name = one.querySelector('bdi'), rest = document.createRange();
  rest.setStart((name.parentElement === one ? name : name.parentElement).nextSibling, 0);
  rest.setEnd(rest.startContainer, rest.startContainer.length);
  return [name.textContent, name.getBoundingClientRect().right, rest.getBoundingClientRect().left];
})"""


def test_names_from_right_to_left_leave_numbers_in_their_places(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(FROM_RIGHT_TO_LEFT, "utf-8")
    run = run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "results", SilentProgress())
    opened = Opened(browser, write_report([run], tmp_path / "r.html").page)
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .token")
    for selector in (".rate", ".block > p.muted"):
        ends = opened.page.evaluate(ENDS, selector)
        assert ends[0][0] == "מלון הים"
        assert all(end <= begin + 1 for _, end, begin in ends), selector
    assert opened.page.locator(".lead bdi").first.text_content() in ("“ما هو أفضل فندق؟”", "מלון הים", "山间酒店")
    assert opened.page.locator("[dir] bdi, mark bdi, .token bdi").count() == 0  # letters of a text join
    assert "\u2068מלון הים\u2069" in str(opened.page.locator(".rate").first.get_attribute("title"))


def test_the_arrows_follow_a_text_from_right_to_left(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(FROM_RIGHT_TO_LEFT, "utf-8")
    run = run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "results", SilentProgress())
    opened = Opened(browser, write_report([run], tmp_path / "r.html").page)
    assert opened.colour(".card .text", "direction") == "rtl"
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .token")
    opened.page.locator(".token").first.click()
    opened.page.locator(".token").first.focus()
    opened.page.keyboard.press("ArrowLeft")
    selected = opened.page.locator(".token").nth(1).get_attribute("aria-selected")
    assert selected == "true"
    opened.page.close()


AXE = Path(__file__).with_name("axe.min.js")
BREACHES = """async ([place, rules]) => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  await new Promise(requestAnimationFrame);
  const rows = "tbody tr:nth-child(n+4)"; // like those above
  for (const one of document.querySelectorAll(`${rows}, .chart svg`)) one.remove(); // a chart's place speaks for it
  const found = await axe.run(place, { resultTypes: ["violations"], runOnly: rules });
  const breach = (id, { target, html }) => `${id}: ${target} ${html}`.slice(0, 300);
  return found.violations.flatMap(({ id, nodes }) => nodes.map(node => breach(id, node)));
}"""
WCAG, CONTRAST = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], ["color-contrast"]


@pytest.fixture(scope="module")
def with_everything(swept: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run with both audits, which are there for this page alone."""
    audit_run(swept, 20, tell=lambda text: None)
    write_text_audit(swept.path, ("mention", "log_ratio"))
    page = write_report([swept], tmp_path_factory.mktemp("everything") / "report.html").page
    for path in [*swept.path.glob("text_*"), swept.path / "audit.csv", swept.path / "audit.txt"]:
        path.unlink()
    return page


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_no_rule_of_wcag_2_2_aa_is_broken(
    browser: Any, with_everything: Path, viewport: dict[str, int], scheme: str
) -> None:
    """Asked of axe-core, with everything unfolded, then with the inspector open, then in the other light."""
    opened = Opened(browser, with_everything, viewport=viewport, color_scheme=scheme)
    opened.charts()
    opened.page.evaluate(AXE.read_text("utf-8"))
    assert opened.page.evaluate(BREACHES, ["main", WCAG]) == []
    opened.page.locator("button.open").first.click()
    opened.page.wait_for_selector("dialog[open] .token")
    assert opened.page.evaluate(BREACHES, ["dialog", WCAG]) == []
    opened.page.keyboard.press("Escape")
    opened.page.get_by_role("button", name="light or dark").click()
    assert opened.page.evaluate(BREACHES, ["main", CONTRAST]) == []
    assert opened.console == []
    opened.page.close()


def test_the_arrow_keys_go_through_tabs(opened: Opened) -> None:
    tabs = opened.page.get_by_role("tablist", name="What they pay").get_by_role("tab")
    names = tabs.all_text_contents()
    tabs.first.focus()
    for key, chosen in (("ArrowRight", 1), ("End", -1), ("ArrowRight", 0), ("ArrowLeft", -1), ("Home", 0)):
        opened.page.keyboard.press(key)
        assert opened.page.evaluate("() => document.activeElement.textContent") == names[chosen]
        panel = opened.page.evaluate("() => document.activeElement.getAttribute('aria-controls')")
        assert opened.page.locator(f"#{panel} svg").first.is_visible()
    assert [one.get_attribute("tabindex") for one in tabs.all()] == ["0", *["-1"] * (len(names) - 1)]


def test_the_arrow_keys_go_through_squares(opened: Opened) -> None:
    grid = opened.page.get_by_role("grid").first
    grid.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        opened.page.keyboard.press(key)
    assert (opened.text(".weight"), opened.text(".stepper .seed")) == ("0.00", "seed 2")
    here = opened.page.locator(f"#{grid.get_attribute('aria-activedescendant')}")
    assert str(here.get_attribute("title")).startswith("weight 0, seed 2: names ")


WIDER_THAN_ITS_PLACE = """() => [...document.querySelectorAll(".scroll, table, figure, .contents")]
  .filter(one => !one.closest(".off") && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.textContent.slice(0, 60))"""


def test_a_phone_cuts_no_table(browser: Any, with_everything: Path) -> None:
    phone = Opened(browser, with_everything, viewport=PHONE)
    phone.page.evaluate("() => { for (const one of document.querySelectorAll('details')) one.open = true; }")
    assert phone.page.locator(".plain tbody tr").count() == 6
    assert phone.page.evaluate(WIDER_THAN_ITS_PLACE) == []
    phone.page.close()


def test_without_scripts_the_numbers_are_a_table(browser: Any, report: Path, swept: Run) -> None:
    """Over all queries together, with what was found and where the data are."""
    opened = browser.new_context(java_script_enabled=False).new_page()
    opened.goto(report.as_uri())
    rows = opened.locator(".plain tbody tr").all_text_contents()
    assert len(rows) == len(swept.pooled) == 6
    assert rows[0].startswith("0" + f"{swept.pooled['mention_rate.alpha'].iloc[0]:.3g}")
    assert opened.locator(".findings li").first.is_visible()
    links = {one.text_content(): one.get_attribute("href") for one in opened.locator(".links a").all()}
    assert [links[name] for name in ("cells.csv", "summary.csv", "experiment.yaml", "manifest.json")] == [
        *("cells.csv", "summary.csv", "experiment.yaml", "manifest.json")
    ]
    assert links["The paper"] == "https://arxiv.org/abs/2310.10826"
    opened.context.close()


def test_titles_of_a_runs_panels_stand_at_one_height(opened: Opened) -> None:
    opened.charts()
    tops = "row => [...row.querySelectorAll('figcaption')].map(one => Math.round(one.getBoundingClientRect().top))"
    for row in opened.page.locator(".panels:visible").all():
        assert len(set(row.evaluate(tops))) == 1
