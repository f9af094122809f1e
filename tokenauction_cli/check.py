"""What a run would do and cost: agents, prompts, cells, memory, model files. Loads no weights."""

from __future__ import annotations

from .experiment import Experiment
from .run import plan_for
from .speakers import Speakers, prepare
from .tables import Table

_MIB = 1 << 20


def plan_report(experiment: Experiment) -> list[Table]:
    """The tables that `tokauction check` prints."""
    speakers = prepare(experiment)
    return [_agents(experiment, speakers), _plan(experiment, speakers), *_models(speakers)]


def _agents(experiment: Experiment, speakers: Speakers) -> Table:
    rows = []
    for i, agent in enumerate(experiment.agents):
        casts = speakers.casts.values()
        lengths = [len(getattr(cast.prompts[cast.prompt_of_agent[i]], "tokens", ())) for cast in casts]
        span = str(min(lengths)) if min(lengths) == max(lengths) else f"{min(lengths)}-{max(lengths)}"
        rows.append((agent.name, agent.id, agent.model or "table", agent.bid, agent.temperature, span))
    return Table("Agents", ("agent", "id", "model", "bid", "temperature", "prompt tokens"), tuple(rows))


def _plan(experiment: Experiment, speakers: Speakers) -> Table:
    plan = plan_for(experiment, speakers)
    cells_per_model = speakers.kv_cells(plan.lanes)
    n_prompts = max(len(cast.prompts) for cast in speakers.casts.values())
    most_tokens = plan.n_cells * experiment.auction.max_tokens
    rows = [
        ("queries", len(experiment.queries)),
        ("aggregation rules", len(experiment.auction.aggregation)),
        ("sweep points", len(experiment.points())),
        ("seeds", len(experiment.seeds())),
        ("cells", plan.n_cells),
        ("waves", len(plan.waves)),
        ("texts in a batch", plan.lanes),
        ("tokens at most", most_tokens),
        ("evaluations at most", most_tokens * n_prompts),
        ("records independent of batching", "yes" if speakers.is_batch_invariant else "no"),
    ]
    for model in speakers.models:
        n_cells = cells_per_model[model.path]
        size = model.metadata.kv_bytes_per_token
        memory = f" ({n_cells * size / _MIB:.0f} MiB)" if size else ""
        rows.append((f"KV cells of {model.local.reference}", f"{n_cells}{memory}"))
    return Table("Plan", ("what", "how many"), tuple(rows))


def _models(speakers: Speakers) -> list[Table]:
    if not speakers.models:
        return []
    rows = []
    for model in speakers.models:
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
