"""An audit of whole texts: enumerated where agents are tables over tokens, else sampled with the run's models.

First every bid and report of every agent, the others keeping theirs. Then the games: best responses from truth on.
What is sampled is written for all laws together, since they share texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ...engine.rules import Rules
from ...engine.run import Progress
from ...experiment.checks.text_audit_checks import why_not_audited
from ...experiment.experiment import Experiment
from ...mechanism.distributions import MechanismError
from ...runs.run_folder import RunFolder
from ...system.errors import UsageError
from ...worths.judges import Asked, model_of
from ...worths.worths import Judged
from .audit_texts import AuditTexts, audit_texts
from .deviations import Deviations
from .enumerated import enumerated_laws, exact_mechanisms
from .equilibria import played_out
from .laws import AuditedLaw, Trial, wants
from .sampled import Sampled
from .sampled_laws import sampled_laws
from .screened import Screener, Traced, traced_texts
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


def exact_audit(experiment: Experiment, rules: Rules, judged: Judged) -> TextAuditRows:
    """Audit the texts of table agents; `judged` asks judges.

    Raises UsageError for what cannot be enumerated, and where a rule is undefined for bids that are tried.
    """
    found = TextAuditRows()
    for law in enumerated_laws(experiment, rules, judged):  # one at a time: each holds many laws of all texts
        try:
            found += _audited([law], lambda trials: None)
        except MechanismError as error:
            raise UsageError(f"{experiment.path}: the audit of whole texts under {law.rule} stops: {error}") from error
    return found


def sampled_audit(
    experiment: Experiment, rules: Rules, texts: AuditTexts, judged: Judged, recorded: Sequence[Traced] = ()
) -> TextAuditRows:
    """Audit the texts of language models; raises UsageError where a text cannot be written.

    `recorded` are traced texts of the run, which propose one more bid to try.
    """
    sampled = Sampled(experiment, texts, judged)
    laws = sampled_laws(sampled, rules, Screener(experiment, rules, recorded))
    return _audited(list(laws), sampled.prepare)


def _audited(laws: Sequence[AuditedLaw], prepare: Callable[[Iterable[Trial]], None]) -> TextAuditRows:
    """The rows of these laws; `prepare` has the texts of trials written."""
    groups = [Deviations(law, want) for law in laws for want in wants(law)]
    prepare(trial for group in groups for trial in group.trials.values())
    found = TextAuditRows([row for group in groups for row in group.rows()])
    for contest, path in played_out(laws, prepare).items():
        found.equilibria.append(contest.equilibrium(path))
        found.steps.extend(contest.steps(path))
    return found
