"""The games of an audit: where best responses from truth on lead, and regret, welfare and revenue there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...mechanism.audit.regret import unattained
from ...mechanism.whole_texts.dynamics import Answer, Path, Question, played
from ...mechanism.whole_texts.finding import BY_SEEDS, Equilibrium, Step, price_of_anarchy, welfare_ratio
from ...mechanism.whole_texts.tree import replaced
from .laws import AuditedLaw, Players, Trial, wants
from .text_audit_rows import few_seeds, rough, voids


@dataclass(frozen=True, eq=False)
class Contest:
    """The game of these agents, who want the same kind of thing, under a law."""

    law: AuditedLaw
    kind: str
    players: Players

    def trials(self, question: Question) -> list[Trial]:
        """Those of the candidates; the first is the bid that the agent has."""
        return [Trial(self.law.rule, replaced(question.bids, question.agent, bid)) for bid in question.candidates]

    def answers(self, question: Question) -> list[Answer]:
        [want] = [want for want in self.players if want.agent == question.agent]
        now, *others = self.trials(question)
        return [Answer(0.0, 0.0), *(Answer(gain, low) for gain, low, _ in self.law.gains(want, now, others))]

    def equilibrium(self, path: Path) -> Equilibrium:
        """Where the dynamics ended, and welfare and revenue at truth, there, and at the best relative weight."""
        law, players, bids = self.law, self.players, path.bids
        truth, best, reached = law.truth(players), law.best(players), law.welfare(players, bids)
        ratio = welfare_ratio if law.method == BY_SEEDS else price_of_anarchy
        values = {want.agent: want.value for want in players}
        return Equilibrium(
            law.rule,
            law.payment,
            self.kind,
            path.outcome,
            path.rounds,
            bids,
            tuple(values.get(i) for i in range(len(bids))),
            *law.regret(players, bids),
            welfare_truth=law.welfare(players, truth),
            welfare_equilibrium=reached,
            welfare_best=best.welfare,
            relative_weight_best=best.weight,
            revenue_truth=law.revenue(truth),
            revenue_equilibrium=law.revenue(bids),
            revenue_best=best.revenue,
            price_of_anarchy=ratio(best.welfare, reached),
            texts=law.n_texts,
            method=law.method,
            note="; ".join(self._notes(path)),
        )

    def _notes(self, path: Path) -> Iterator[str]:
        experiment = self.law.experiment
        if path.outcome == "cycle":
            yield "bids return: " + ", ".join(f"({', '.join(f'{bid:.6g}' for bid in bids)})" for bids in path.cycle)
        elif path.outcome == "unfinished":
            yield f"bids still move after {path.rounds} rounds"
        for agent, jump in path.approached.items():
            yield f"{experiment.agents[agent].id} has no best bid: {unattained(jump or 0.0)}"
        grids = self.law.grids(self.players)
        for agent, utility in self.players:
            if path.bids[agent] >= grids[agent][-1] > utility.value:  # it may want to bid more
                yield f"{experiment.agents[agent].id} bids {grids[agent][-1]:g}, the most that is tried"
        if self.law.method == BY_SEEDS:
            yield from (*few_seeds(experiment), *rough(experiment))
        yield from voids(experiment)

    def steps(self, path: Path) -> Iterator[Step]:
        """A row per reply."""
        for k, reply in enumerate(path.replies):
            replier = "" if reply.agent is None else self.law.experiment.agents[reply.agent].id
            names = self.law.rule, self.law.payment, self.kind
            yield Step(*names, k, replier, reply.bids, reply.gain, reply.low, reply.moved)


def contests(laws: Iterable[AuditedLaw]) -> Iterator[Contest]:
    """One per law and kind of utility, but where everybody's value and bid is 0."""
    for law in laws:
        for kind in dict.fromkeys(want.utility.kind for want in wants(law)):
            players = [want for want in wants(law) if want.utility.kind == kind]
            if any(law.truth(players)):
                yield Contest(law, kind, players)


def played_out(laws: Iterable[AuditedLaw], prepare: Callable[[Iterable[Trial]], None]) -> dict[Contest, Path]:
    """All at once: what they ask at the same time may share texts. At the end the fresh texts are there too."""

    def answered(asked: Mapping[Contest, Question]) -> dict[Contest, Sequence[Answer]]:
        prepare(trial for one, question in asked.items() for trial in one.trials(question))
        return {one: one.answers(question) for one, question in asked.items()}

    ended = played({one: one.law.dynamics(one.players) for one in contests(laws)}, answered)
    prepare(trial for one, path in ended.items() for trial in one.law.fresh_trials(one.players, path.bids))
    return ended
