"""`tokauction check EXP`: is the file right, and what would a run do and cost?"""

from __future__ import annotations

from typing import Annotated

import typer

from .options import ExperimentFile, Overrides, Trust, load, quiet_llama
from .results import print_rich


def check(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    trust: Trust = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure now whether records depend on batching, for as long as it takes.")
    ] = False,
) -> None:
    """Validate an experiment and print its plan and cost; no weights are loaded, but by --probe."""
    from .plan_tables import plan_report

    with quiet_llama():
        loaded = load(experiment, overrides, trust)
        for table in plan_report(loaded, probe=probe):
            print_rich([table], loaded)
