"""A run's CSV files come back as they were: NA is a text, empty numbers are missing."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from conftest import Reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.run import files_of
from tokenauction_cli.analysis.tables.tables import frame_csv
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress

WORDS = ("NA", "null", "nan", "None", "", "007", "1e5", "inf", "True", " x", "a\r\nb", '"', "N/A", "-")
SPOKEN = ", ".join(f'"{word}": 0.2' for word in ("NA", "null", "007", "-", " x"))
ODD = f"""
name: odd
queries: ["NA", "null", "12"]
agents:
  - {{name: A, distribution: {{{SPOKEN}}}}}
  - {{name: B, distribution: {{{SPOKEN}}}}}
auction: {{aggregation: [linear, random_dictator], max_tokens: 1, payments: [second_price]}}
sweep: {{relative_weight: [0, 0.5, 1], seeds: 6}}
"""


@pytest.fixture
def odd(read: Reader, tmp_path: Path) -> tokauction.Run:
    return run_experiment(read(ODD), tmp_path / "results", SilentProgress())


def test_a_run_is_read_back(odd: tokauction.Run) -> None:
    assert set(odd.cells["text"]) == {"NA", "null", "007", "-", " x"}
    for name in ("cells", "summary", "trends", "comparisons", "pooled"):
        frame = getattr(odd, name)
        whole = [column for column in frame if frame[column].dtype == "Int64"]
        frame = frame.assign(
            **{column: frame[column].astype("Float64").to_numpy(float, na_value=math.nan) for column in whole}
        )
        again = tokauction.read_csv(odd.path / f"{name}.csv")
        pd.testing.assert_frame_equal(again, frame, check_dtype=False, rtol=1e-12)
    table = tokauction.read_csv(odd.path / "table.csv")
    assert set(table["title"]) == {"NA", "null", "12"}
    assert table["weight of A"].tolist() == [0, 0.5, 1] * 3
    assert set(files_of(odd)) >= {"cells.csv", "pooled.csv"}


def test_what_the_pages_say_of_plain_pandas_is_true(odd: tokauction.Run) -> None:
    words = {"cell": str, "query": str, "text": str}
    plain = pd.read_csv(odd.path / "cells.csv", keep_default_na=False, na_values=[""], dtype=words)
    assert plain["text"].tolist() == odd.cells["text"].tolist()
    assert plain["cell"].tolist() == odd.cells["cell"].tolist()


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(tmp_path: Path, texts: list[str]) -> None:
    frame = pd.DataFrame({"cell": "00e1", "text": texts, "tokens": 1, "tv.a": [None] * len(texts)})
    path = tmp_path / "cells.csv"
    path.write_text(frame_csv(frame), "utf-8", newline="")
    again = tokauction.read_csv(path)
    assert again["text"].tolist() == [text.replace("\0", "\ufffd") for text in texts]
    assert again["cell"].tolist() == ["00e1"] * len(texts)
    assert again["tv.a"].isna().all()


def test_what_is_no_csv_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        tokauction.UsageError, match="No such file or directory; the CSV files of a run are in its folder"
    ):
        tokauction.read_csv(tmp_path / "cells.csv")
    with pytest.raises(tokauction.UsageError, match="Is a directory"):
        tokauction.read_csv(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tokauction.UsageError, match="is no CSV file of a run"):
        tokauction.read_csv(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(tokauction.UsageError, match="is no CSV file of a run"):
        tokauction.read_csv(tmp_path / "x.csv")
