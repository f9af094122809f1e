"""What a run would do and cost: agents, prompts, cells, memory, model files, and what the probe knows of them.

No weights are loaded, but by the child processes of a probe that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..analysis.tables import Table
from ..api import Checked, check_experiment
from ..engine.bidder_models import BidderModels, GgufBidders
from ..engine.plan import Plan
from ..experiment.experiment import Experiment

_MIB = 1 << 20


def plan_report(experiment: Experiment, *, probe: bool = False) -> list[Table]:
    """The tables that `tokauction check` prints; `probe` measures anew whether records depend on batching."""
    checked = check_experiment(experiment, probe=probe)
    return [_agents(experiment, checked.bidders), _plan(checked), *_models(checked.bidders)]


def _agents(experiment: Experiment, bidders: BidderModels) -> Table:
    rows = []
    for i, agent in enumerate(experiment.agents):
        prompt_sets = bidders.prompt_sets.values()
        lengths = [
            len(getattr(prompt_set.prompts[prompt_set.prompt_of_agent[i]], "tokens", ())) for prompt_set in prompt_sets
        ]
        span = str(min(lengths)) if min(lengths) == max(lengths) else f"{min(lengths)}-{max(lengths)}"
        rows.append((agent.name, agent.id, agent.model or "table", agent.bid, agent.temperature, span))
    return Table("Agents", ("agent", "id", "model", "bid", "temperature", "prompt tokens"), tuple(rows))


def _plan(checked: Checked) -> Table:
    experiment, bidders, plan = checked.experiment, checked.bidders, checked.plan
    rows: list[tuple[str, object]] = [
        ("queries", len(experiment.queries)),
        ("aggregation rules", len(experiment.auction.aggregation)),
        ("sweep points", len(experiment.points)),
        ("seeds", len(experiment.seeds)),
        ("cells", checked.n_cells),
        ("waves", len(plan.waves)),
        ("texts in a batch", plan.slots),
        ("tokens at most", checked.n_tokens),
        ("evaluations at most", checked.n_evaluations),
    ]
    if isinstance(bidders, GgufBidders):
        rows += _cost_of_models(experiment, bidders, plan)
    return Table("Plan", ("what", "how many"), tuple(rows))


def _cost_of_models(experiment: Experiment, bidders: GgufBidders, plan: Plan) -> Iterator[tuple[str, str]]:
    """How llama.cpp computes here, what its memory holds, and what a probe found out."""
    yield "llama.cpp", bidders.hardware.in_words
    for model in bidders.models:
        n_cells = bidders.kv_cells(plan.slots)[model.path]
        size = bidders.kv_bytes_per_token(model)
        yield (
            f"KV cells of {model.local.reference}",
            f"{n_cells}" + (f" ({n_cells * size / _MIB:.0f} MiB)" if size else ""),
        )
        finding = bidders.findings.get(model.path)
        for crash in finding.crashes if finding else ():
            yield "crashes", crash.in_words
        if experiment.runtime.deterministic:
            yield "batches", "every token is evaluated alone: records do not depend on batching"
        else:
            yield "batches", finding.in_words if finding else "not measured yet: `check --probe` does, and `run`"


def _models(bidders: BidderModels) -> list[Table]:
    if not bidders.models:
        return []
    rows = []
    for model in bidders.models:
        facts = (
            ("reference", str(model.local.reference)),
            ("path", str(model.path)),
            ("size", f"{model.local.size / _MIB:.1f} MiB"),
            ("sha256", model.sha256),
            ("architecture", model.metadata.architecture),
            ("context length", model.metadata.context_length or "unknown"),
        )
        rows += list(facts)
    return [Table("Models", ("what", "value"), tuple(rows))]
