"""An installed package adds rules, a mechanism and a model by entry points: no `trust`, and the manifest names it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command

CODE = '''
import numpy as np

from tokenauction_cli.mechanism.distributions import Distribution, weights_of


class Blend:
    is_linear_mixture = True
    monotone_in = frozenset({"robust", "tv", "kl", "reverse_kl"})

    def __call__(self, profile, bids):
        return Distribution(p=weights_of(bids) @ profile.p)


class Toll:
    def expected(self, outcome):
        return 0.25 * outcome.charged(outcome.bids)


class First:
    def draw(self, outcome, draw_key):
        from tokenauction_cli.mechanism.sampling.rules import Draw

        return Draw(int(np.argmax(outcome.q.p)), self.name, None)


class Letters:
    """A vocabulary of three letters and an end."""

    size, joiner, ends = 4, b"", frozenset({3})

    def piece(self, token):
        return b"abc"[token : token + 1]

    def name(self, token):
        return "abc."[token]


class Echo:
    """Likes the letter that its prompt ends with."""

    vocabulary = Letters()

    def complete(self, prompt, text):
        said = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        logits = np.zeros(4)
        logits["abc".index(said[-1])] = 3.0
        return logits if "short" not in said else logits[:2]
'''
POINTS = """[tokauction.aggregation]
blend = salon:Blend
linear = salon:Toll
broken = salon:Missing
[tokauction.payments]
toll = salon:Toll
[tokauction.sampling]
first = salon:First
[tokauction.models]
echo = salon:Echo
"""
TABLES = """name: salon
agents:
  - {name: Ann, distribution: {x: 0.7, y: 0.3}, bid: 1}
  - {name: Bob, distribution: {x: 0.1, y: 0.9}, bid: 2}
auction: {aggregation: [blend, linear], payments: [second_price, toll], max_tokens: 2}
sweep: {relative_weight: [0.2, 0.6], seeds: 3}
"""
MODELS = """name: echoes
queries: [say]
agents:
  - {name: Ann, model: mine, prompt: "{{ query }} a", bid: 3}
  - {name: Bob, model: mine, chat: {user: "{{ query }} b"}, bid: 1}
models: {mine: echo}
auction: {aggregation: [linear], payments: [second_price], max_tokens: 3}
sweep: {relative_weight: [0, 1], seeds: 4}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with one that adds rules."""
    site = tmp_path / "site"
    info = site / "salon_rules-0.3.dist-info"
    info.mkdir(parents=True)
    (site / "salon.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: salon-rules\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("salon", None)


def manifest(folder: Path) -> dict[str, object]:
    (path,) = folder.glob("results/*/manifest.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.mark.usefixtures("site")
def test_rules_of_a_package_run_without_trust_and_are_named_in_the_manifest(
    tmp_path: Path, in_process: Command
) -> None:
    (tmp_path / "salon.yaml").write_text(TABLES)
    done = in_process("run", "salon.yaml", "-q")
    assert done.returncode == 0, done.stderr
    kept = manifest(tmp_path)
    assert kept["packages"] == {"aggregation rule blend": "salon-rules 0.3", "payment rule toll": "salon-rules 0.3"}
    assert kept["basis"] is None  # its texts are not taken over by other runs
    rows = (next(tmp_path.glob("results/*/cells.csv"))).read_text().splitlines()
    assert "payment.toll.ann" in rows[0]
    blend, linear = ([row.split(",")[5:] for row in rows[1:] if f",{rule}," in row] for rule in ("blend", "linear"))
    assert len(blend) == len(linear) == 6  # `linear` stays tokauction's own


def test_a_reading_command_names_the_package_that_is_missing(
    tmp_path: Path, in_process: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "salon.yaml").write_text(TABLES)
    assert in_process("run", "salon.yaml", "-q").returncode == 0
    shutil.rmtree(site)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(site)])
    (run,) = (tmp_path / "results").iterdir()
    shown = in_process("show", str(run))
    assert shown.returncode == 2
    assert "aggregation rule blend comes from salon-rules 0.3, which is not installed here" in shown.stderr
    assert "pip install salon-rules" in shown.stderr


@pytest.mark.usefixtures("site")
def test_a_rule_that_cannot_be_loaded_says_why(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "salon.yaml").write_text(TABLES.replace("[blend, linear]", "[broken]"))
    done = in_process("check", "salon.yaml")
    assert done.returncode == 2
    assert "salon.yaml:5:25" in done.stderr
    assert "'broken' cannot be loaded" in done.stderr


@pytest.mark.usefixtures("site")
def test_a_sampler_of_a_package_is_used(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "salon.yaml").write_text(
        TABLES.replace("max_tokens: 2", "max_tokens: 2, sampling: first").replace("[second_price, toll]", "[toll]")
    )
    done = in_process("run", "salon.yaml", "-q")
    assert done.returncode == 0, done.stderr
    rows = next(tmp_path.glob("results/*/cells.csv")).read_text().splitlines()[1:]
    assert {row.split(",")[7] for row in rows} <= {"x x", "y y"}


@pytest.mark.usefixtures("site")
def test_a_model_of_a_package_writes_texts(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "echoes.yaml").write_text(MODELS)
    checked = in_process("check", "echoes.yaml")
    assert checked.returncode == 0, checked.stderr
    done = in_process("run", "echoes.yaml", "-q")
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path)["packages"] == {"model echo": "salon-rules 0.3"}
    summary = next(tmp_path.glob("results/*/cells.csv")).read_text()
    assert ",end," in summary or ",length," in summary


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("max_tokens: 3", "max_bytes: 3, alphabet: bytes"), "speaks over tokens alone"),
        (
            (
                '{name: Bob, model: mine, chat: {user: "{{ query }} b"}, bid: 1}',
                "{name: Bob, model: smollm2-135m-instruct, prompt: x, bid: 1}",
            ),
            "has no model of a package",
        ),
        (('"{{ query }} a"', '"short {{ query }} a"'), "logits of shape (2,)"),
    ],
)
def test_what_a_model_of_a_package_cannot_do_is_said(
    tmp_path: Path, in_process: Command, change: tuple[str, str], complaint: str
) -> None:
    assert change[0] in MODELS
    (tmp_path / "echoes.yaml").write_text(MODELS.replace(*change))
    done = in_process("run", "echoes.yaml")
    assert done.returncode in (2, 3)
    assert complaint in " ".join((done.stderr + done.stdout).split())
