"""An audit of whole texts: enumerated where agents are tables over tokens, else sampled with the run's models."""

from __future__ import annotations

from dataclasses import replace

from ...engine.rules import Rules
from ...engine.run import Progress
from ...experiment.checks.text_audit_checks import why_not_audited
from ...experiment.experiment import Experiment
from ...runs.run_folder import RunFolder
from ...system.errors import UsageError
from ...worths.judges import Asked, model_of
from .audit_texts import audit_texts
from .exact_audit import exact_audit, exact_mechanisms
from .sampled_audit import sampled_audit
from .screened import traced_texts
from .text_audit_rows import TextAuditRows, few_seeds


def check_text_audit(experiment: Experiment) -> None:
    """Raises UsageError where whole texts cannot be audited, before any model is loaded or anything is run."""
    auction = experiment.auction
    if why := why_not_audited(auction.alphabet, auction.sampling, auction.payments, list(auction.others)):
        raise UsageError(f"{experiment.path}: {why}")
    for utilities in experiment.text_audit.utilities.values():
        for utility in utilities:
            if utility.judge is not None:
                model_of(experiment, utility.judge)


def is_enumerated(experiment: Experiment) -> bool:
    """Whether every text can be listed: agents are tables, over tokens."""
    return experiment.auction.alphabet == "tokens" and experiment.agents[0].distributions is not None


def text_audit(experiment: Experiment, folder: RunFolder, progress: Progress) -> TextAuditRows:
    """What the experiment's `audit.texts` asks. The caller has locked the folder of its run, where texts are kept."""
    ask = Asked(experiment, folder, progress.note)
    found = _found(experiment, folder, ask, progress)
    for doubt in ask.doubts():
        progress.note(f"{experiment.path}: {doubt}")
    return found


def _found(experiment: Experiment, folder: RunFolder, ask: Asked, progress: Progress) -> TextAuditRows:
    rules = Rules.of(experiment)
    found, sampled = TextAuditRows(), rules
    if is_enumerated(experiment):
        found = exact_audit(experiment, rules, ask)
        exact = {mechanism.name for mechanism in exact_mechanisms(experiment, rules)}
        others = {name: one for name, one in rules.mechanisms.items() if name not in exact}
        sampled = replace(rules, aggregation={}, mechanisms=others)
    if not sampled.names:
        return found
    for warning in few_seeds(experiment):
        progress.note(f"{experiment.path}: {warning}")
    with audit_texts(experiment, rules, folder, progress) as texts:
        return found + sampled_audit(experiment, sampled, texts, ask, traced_texts(experiment, folder))
