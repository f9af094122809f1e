"""Runs shipped experiments and writes their reports into the site: those of tables, and with `SITE_MODELS=1` all.

What a run computes stays in docs/_build/runs, so that the next build only reads it.
"""

from __future__ import annotations

import os
from pathlib import Path

import tokenauction_cli as tokauction
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.experiment.matrix import load_matrix

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RUNS = Path(__file__).parent / "_build" / "runs"


def shipped() -> list[Path]:
    """Experiments of tables, and of models where they are asked for."""
    paths = [path for path in sorted(EXPERIMENTS.glob("*.yaml")) if load_matrix(path) is None]
    return paths if os.environ.get("SITE_MODELS") else [path for path in paths if is_of_tables(path)]


def is_of_tables(path: Path) -> bool:
    return all(agent.distributions is not None for agent in load_experiment(path).agents)


def write(site: Path) -> None:
    """reports/NAME.html for each of them."""
    (site / "reports").mkdir(exist_ok=True)
    for path in shipped():
        run = tokauction.run(path, RUNS)
        tokauction.write_report(run, site / "reports" / f"{path.stem}.html", figures=[])


def links() -> str:
    """A list in Markdown of the reports that `write` makes."""
    questions = {path: path.read_text("utf-8").splitlines()[0].removeprefix("# Question: ") for path in shipped()}
    return "\n".join(
        f'- <a href="../reports/{path.stem}.html">{path.stem}</a>: {question}' for path, question in questions.items()
    )
