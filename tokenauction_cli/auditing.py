"""Audits of a run from end to end: whether there can be one, what it found, its files in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .analysis.run import Run
from .engine.run import Progress
from .experiment.experiment import Experiment
from .runs import manifest
from .runs.run_folder import RunFolder
from .runs.run_log import logging_to
from .system.errors import UsageError
from .system.steps import Hear, unheard
from .system.wording import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from .analysis.tables.tables import Table


class RunAudit(NamedTuple):
    """What an audit of a run found: a row per finding, a table and a paragraph per rule, and all of it in few lines."""

    findings: pd.DataFrame
    tables: list[Table]
    paragraphs: list[str]
    verdict: list[str]


def check_audit(orders: Sequence[str]) -> None:
    """Raises UsageError where an audit in these orders is not possible, before anything is run for it."""
    from .mechanism.aggregation.rules import ORDERS

    for order in orders:
        if order not in ORDERS:
            known = f"the orders are {', '.join(ORDERS)}{did_you_mean(order, ORDERS)}"
            raise UsageError(f"unknown order {order!r}: {known}")


def check_auditable(experiment: Experiment) -> None:
    """Raises UsageError where an audit could not see what is auctioned."""
    if not experiment.auction.aggregation:
        raise UsageError(
            f"{experiment.path}: an audit of prefixes looks at the rules of the token auction, which is not one of the "
            "mechanisms; add token_auction to auction.mechanism, or audit whole texts with --texts"
        )
    if experiment.auction.alphabet == "words":
        raise UsageError(
            f"{experiment.path}: an audit needs the probabilities of all that may be drawn, and words cannot be "
            "listed; audit the file with -S auction.alphabet=bytes"
        )


def audit_run(
    run: Run, prefixes: int, orders: Sequence[str] = (), *, tell: Callable[[str], None], hear: Hear = unheard
) -> RunAudit:
    """Check every rule on the distributions that a run met, and write audit.csv and audit.txt into its folder."""
    from .analysis.tables.audit_tables import audit_tables, findings_frame, paragraphs, verdict_of
    from .analysis.tables.tables import frame_csv
    from .audits.prefixes.audit import audit

    check_audit(orders)
    check_auditable(run.experiment)
    known = manifest.readable(run.folder)  # it may have been continued since the run was loaded
    audited = audit(run.experiment, run.folder.records(), manifest.formats_of(known), prefixes, orders, tell, hear)
    made = RunAudit(findings_frame(audited), audit_tables(audited), paragraphs(audited), verdict_of(audited))
    files = {"audit.csv": frame_csv(made.findings), "audit.txt": "\n\n".join(made.paragraphs) + "\n"}
    write_files(run.folder, known, files)
    return made


class RunTextAudit(NamedTuple):
    """What an audit of whole texts found: frames by the name of their file, tables, paragraphs, and few lines."""

    frames: dict[str, pd.DataFrame]
    tables: list[Table]
    paragraphs: list[str]
    verdict: list[str]


def audit_texts(run: Run, progress: Progress) -> RunTextAudit:
    """What bids and reports gain over whole texts, as the run's `audit.texts` asks; written into its folder.

    Raises UsageError where that cannot be, before any model is loaded. Ctrl-C keeps every text that is finished.
    """
    from .analysis.frames.mechanism_names import for_programs
    from .analysis.tables.tables import frame_csv
    from .analysis.tables.text_audit_tables import (
        text_audit_frames,
        text_audit_paragraphs,
        text_audit_tables,
        text_verdict,
    )
    from .audits.texts.text_audit import text_audit

    check_text_audit(run.experiment)
    with run.folder.locked(progress.note), logging_to(run.folder):
        found = text_audit(run.experiment, run.folder, progress)
        made = RunTextAudit(
            text_audit_frames(run.experiment, found),
            text_audit_tables(run.experiment, found),
            text_audit_paragraphs(run.experiment, found),
            text_verdict(run.experiment, found),
        )
        files = {name: frame_csv(for_programs(run.experiment, frame)) for name, frame in made.frames.items()}
        words = "\n\n".join(made.paragraphs) + "\n"
        write_files(run.folder, manifest.readable(run.folder), files | {"text_audit.txt": words})
    return made


def check_text_audit(experiment: Experiment) -> None:
    """Raises UsageError where whole texts of this experiment cannot be audited."""
    from .audits.texts.text_audit import check_text_audit as check

    check(experiment)


def write_files(folder: RunFolder, known: manifest.Manifest, files: Mapping[str, str]) -> None:
    """Write files into the run folder, and their digests into its manifest."""
    folder.keep_wrong_manifest()
    for name, content in files.items():
        folder.write(name, content)
    manifest.add_digests(folder, known, files)
    folder.write_manifest(known)
