"""The options that commands share, and what they mean: an experiment, a format, silence."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..analysis.frames.along import X
    from ..experiment.experiment import Experiment

EXIT_SOME_FAILED = 3
EXIT_EXPECTATION_FAILED = 4
EXIT_INTERRUPTED = 130
FIGURE_FORMATS = ("svg", "pdf", "png")
ExperimentFile = Annotated[Path, typer.Argument(metavar="EXP", help="The experiment, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "-S", "--set", metavar="KEY.PATH=VALUE", help="Override a key of the file, e.g. --set auction.max_tokens=8."
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=A,B",
        help="Every value of a key, each in a run of its own, as the key `matrix` of the file says; a value that is a "
        "list stands in brackets. Several: every combination.",
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours: its code runs as yours."),
]
Results = Annotated[Path, typer.Option("-o", "--results", metavar="DIR", help="The folder of run folders.")]
Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Run folders, experiment files whose runs are in --results, or folders of runs.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")]


class Format(str, Enum):
    """For people (`table`), for papers (`md`, `latex`), for programs (`csv`, `json`, `jsonl`)."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    latex = "latex"


class TableOrJson(str, Enum):
    """For people, or for programs."""

    table = "table"
    json = "json"


class By(str, Enum):
    """What the columns of the table of texts are."""

    aggregation = "aggregation"
    seed = "seed"
    query = "query"


class XAxis(str, Enum):
    """What tells the points of a sweep apart."""

    bid = "bid"
    weight = "weight"

    @property
    def asked(self) -> X:
        """As tables and charts take it."""
        return "bid" if self is XAxis.bid else "weight"


class TableName(str, Enum):
    """What a table holds."""

    texts = "texts"
    rates = "rates"
    payments = "payments"
    mechanisms = "mechanisms"


def listed(text: str) -> list[str]:
    """The parts of a list that is given as one word, as in mention_rate,revenue."""
    return [part.strip() for part in text.split(",") if part.strip()]


Across = Annotated[
    XAxis | None,
    typer.Option("--x", help="What rows or axes are: a bid or the relative weight. Default: what the sweep moves."),
]


class Settings:
    """Options before the command."""

    debug = False


TablesAs = Annotated[TableOrJson, typer.Option("--format", help="How to print.")]
Output = Annotated[Format, typer.Option("--format", help="How to print the table.")]


def load(path: Path, overrides: list[str] | None, trust: list[str] | None) -> Experiment:
    from ..analysis.expectations import figure_names
    from ..experiment.experiment import load_experiment

    return load_experiment(path, overrides or [], trust or [], figure_names)


def quiet_llama() -> Any:
    from ..lm.llama.native_output import quiet

    return quiet(show=Settings.debug)
