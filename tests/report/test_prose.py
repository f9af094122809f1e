"""What a page says in sentences: the numbers of the query that is meant, nothing of zeros, the sampling as recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Reader
from hostile_run import SWEEP

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.report.prose import findings, how_drawn, what_was_done


@pytest.fixture
def swept(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(SWEEP), tmp_path / "results", SilentProgress())


def test_the_summary_in_words(swept: Run) -> None:
    assert "48 texts on 2 queries" in what_was_done(swept)
    first = swept.summary.iloc[0]
    text = " ".join(found.text for found in findings(swept, "q"))
    assert f"from {100 * first['mention_rate.beta']:.0f}\u00a0% to" in text
    assert "The highest mean revenue" in text
    assert all(found.about for found in findings(swept, "q"))


def test_findings_are_those_of_each_query_and_of_all(swept: Run) -> None:
    """The revenue told is the largest of the rows it is told of; with an unknown query there is nothing to tell."""
    for query, rows in ((None, swept.pooled), *swept.summary.groupby("query")):
        highest = rows["revenue.second_price"].max()
        assert f"second price {highest:.3g} " in findings(swept, query)[-1].text
    assert swept.pooled["mention_rate.beta"].iloc[0] != swept.summary["mention_rate.beta"].iloc[0]
    assert findings(swept, "never asked") == []


def test_nothing_is_said_of_what_is_zero_everywhere(swept: Run) -> None:
    silent = swept.summary.copy()
    for column in silent.columns:
        if column.split(".")[0] in ("mention_rate", "co_mention_rate", "revenue"):
            silent[column] = 0.0
    assert findings(replace(swept, summary=silent), "q") == []
    silent["mention_rate.beta"] = [0.5 if rule == "linear" else 0.0 for rule in silent["aggregation"]]
    (told,) = findings(replace(swept, summary=silent), "q")
    assert "Beta Resort" in told.text
    assert "Alpha" not in told.text.partition("of the texts")[2]
    assert "random dictator" not in told.text


def drawn(read: Reader, folder: Path, *, used: dict[str, str], weights: str = "[0, 1]", extra: str = "") -> str:
    """The sentence of a run of two agents whose cells say that these rules used these samplings."""
    text = f"""
name: drawn
agents:
  - {{name: Ann, distribution: {{yes: 0.7, no: 0.3}}}}
  - {{name: Bob, distribution: {{yes: 0.1, no: 0.9}}}}
{extra}auction: {{aggregation: [{", ".join(used)}], max_tokens: 1}}
sweep: {{agent: Ann, relative_weight: {weights}}}
"""
    run = run_experiment(read(text), folder, SilentProgress())
    return how_drawn(replace(run, cells=run.cells.assign(sampling=run.cells["aggregation"].map(used))))


THIRD = "  - {name: Cy, distribution: {yes: 0.5, no: 0.5}}\n"


@pytest.mark.parametrize(
    ("used", "options", "said", "unsaid"),
    [
        ({"linear": "stable"}, {}, "in every row, used by stable sampling", "row only the rule"),
        ({"log_linear": "coupled"}, {}, "used by coupled sampling", "the same."),
        ({"linear": "greedy", "log_linear": "greedy"}, {}, "likeliest token", "random"),
        ({"linear": "inverse_cdf", "log_linear": "inverse_cdf"}, {}, "every row and column", "chance"),
        ({"linear": "stable", "log_linear": "gumbel"}, {}, "log-linear by gumbel sampling: differences", "the same."),
        ({"linear": "stable", "log_linear": "coupled"}, {}, "at weight 0 and 1, where they have one", "chance"),
        ({"linear": "stable", "log_linear": "coupled"}, {"weights": "[0.5, 1]"}, "at weight 1, where", "0 and"),
        ({"linear": "stable", "log_linear": "coupled"}, {"weights": "[0.3, 0.6]"}, "coupling to stable", "the same."),
        ({"linear": "stable", "log_linear": "coupled"}, {"extra": THIRD}, "coupling to stable", "the same."),
        ({"random_dictator": "stable", "log_linear": "coupled"}, {}, "coupling to stable", "the same."),
    ],
)
def test_what_texts_of_a_seed_share_is_said_as_recorded(
    read: Reader, tmp_path: Path, used: dict[str, str], options: dict[str, str], said: str, unsaid: str
) -> None:
    sentence = drawn(read, tmp_path, used=used, **options)
    assert said in sentence
    assert unsaid not in sentence


def test_one_setting_of_the_bids_in_words(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(
        read(SWEEP.split("sweep:")[0] + "sweep: {seeds: 5}\n", "queries=[q]"), tmp_path, SilentProgress()
    )
    assert "one setting of the bids, 5 seeds" in what_was_done(run)
    text = " ".join(found.text for found in findings(run, "q"))
    assert re.search(r"is named in \d+\u00a0% \(\d+–\d+\u00a0%\) under linear", text)
