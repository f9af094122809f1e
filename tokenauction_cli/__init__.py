"""tokauction: the token auction of Duetting, Mirrokni, Paes Leme, Xu and Zuo, on local language models.

    import tokenauction_cli as tokauction

    run = tokauction.run("experiment.yaml")
    run.summary

Importing this loads neither pandas nor llama.cpp; the first use of a function does.
"""

from typing import TYPE_CHECKING, Any

from .system.errors import ExperimentError, ModelError, StoreError, TokauctionError, UsageError

if TYPE_CHECKING:
    from .analysis.columns.reading import read_csv
    from .analysis.run import Run
    from .api import check, compare, list_runs, load_run, run, write_report

__version__ = "0.1.0"

__all__ = [
    "ExperimentError",
    "ModelError",
    "Run",
    "StoreError",
    "TokauctionError",
    "UsageError",
    "check",
    "compare",
    "list_runs",
    "load_run",
    "read_csv",
    "run",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
