"""What a run would do and cost: agents, prompts, cells, time, memory, model files, and what the probe knows of them.

`plan_facts` is what `check --format json` prints; the tables are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ..analysis.tables.tables import Table
from ..api import Checked
from ..audits.texts.text_audit import is_enumerated
from ..engine.models.bidder_models import BidderModels
from ..engine.models.gguf_files import GgufFiles
from ..engine.models.model_in_use import AdapterInUse, ModelInUse
from ..experiment.checks.queries import NO_COLUMNS
from ..experiment.experiment import Agent, Experiment

_MIB = 1 << 20
QUERIES_SHOWN = 3
_COUNTS = {
    "queries": "queries",
    "aggregation_rules": "aggregation rules",
    "other_mechanisms": "other mechanisms",
    "sweep_points": "sweep points",
    "seeds": "seeds",
    "cells": "texts",
    "candidates": "candidates to be written",
    "waves": "waves",
    "texts_in_a_batch": "texts in a batch",
    "tokens_at_most": "{counted} at most",
    "evaluations_at_most": "evaluations at most",
}
_OF_OTHER_MECHANISMS = ("other_mechanisms", "candidates")
_ALONE = "every token is evaluated alone: records do not depend on batching"
_NOT_MEASURED = "not measured yet: `check --probe` does, and `run`"


def plan_facts(checked: Checked) -> dict[str, Any]:
    """By the keys that docs/reference/cli.md explains."""
    experiment, plan = checked.experiment, checked.plan
    mechanisms = experiment.auction.others
    return {
        "name": experiment.name,
        "agents": _agents(experiment, checked.bidders),
        "queries": len(experiment.queries),
        "aggregation_rules": len(experiment.auction.rules) - len(mechanisms),
        "other_mechanisms": len(mechanisms),
        "sweep_points": len(experiment.points),
        "seeds": len(experiment.seeds),
        "cells": checked.n_cells,
        "candidates": checked.n_candidates,
        "waves": len(plan.waves),
        "texts_in_a_batch": plan.slots,
        "tokens_at_most": checked.n_tokens,
        "evaluations_at_most": checked.n_evaluations,
        "seconds_at_most": checked.seconds,
        "audit_texts": _audit_texts(experiment),
        "market": _market(experiment),
        "form": _form(checked),
        "judges": [{"name": name, "model": one.model} for name, one in experiment.judges.items()],
        "payments_left_out": [left_out._asdict() for left_out in checked.left_out],
        "hardware": checked.bidders.files.hardware.in_words if checked.bidders.files else None,
        "models": list(_models(checked)),
    }


def _form(checked: Checked) -> dict[str, Any] | None:
    if (form := checked.form) is None:
        return None
    fits = form.n_draws is not None and form.n_draws <= checked.experiment.auction.max_draws
    return {"kind": form.constraint.kind, "text": form.text, "draws": form.n_draws, "fits": fits}


def _audit_texts(experiment: Experiment) -> int | None:
    """Texts that an audit of whole texts writes before it looks for best replies; 0 where all are enumerated."""
    if not experiment.audits_texts:
        return None
    if is_enumerated(experiment):
        return 0
    audit = experiment.text_audit
    return len(experiment.auction.rules) * len(experiment.queries) * audit.n_deviations * audit.seeds


def _market(experiment: Experiment) -> dict[str, Any] | None:
    """What `tokauction market` plays once the run is finished."""
    market = experiment.market
    if market is None:
        return None
    policies = {one.agent.id: one.policy_in_words for one in market.bidders}
    return {"rounds": market.rounds, "replications": market.replications, "policies": policies}


def prompt_facts(checked: Checked) -> list[dict[str, Any]]:
    """The rendered prompts of the first queries."""
    experiment, bidders = checked.experiment, checked.bidders
    return [
        {"query": query, "agent": agent.id, "prompt": prompt}
        for query in experiment.queries[:QUERIES_SHOWN]
        for agent, prompt in zip(experiment.agents, bidders.prompt_texts(query), strict=True)
        if agent.model is not None
    ]


def _agents(experiment: Experiment, bidders: BidderModels) -> list[dict[str, Any]]:
    found = []
    for i, agent in enumerate(experiment.agents):
        prompts = {prompt_set.prompts[prompt_set.prompt_of_agent[i]] for prompt_set in bidders.prompt_sets.values()}
        lengths = [prompt.n_tokens for prompt in prompts]
        found.append(
            {
                "name": agent.name,
                "id": agent.id,
                "model": agent.model,
                "bid": agent.bid,
                "bids_of_queries": _bids_of_queries(experiment, agent),
                "temperature": agent.temperature,
                "truncation": agent.truncation.in_words,
                "prompt_tokens": [min(lengths), max(lengths)],
            }
        )
    return found


def _bids_of_queries(experiment: Experiment, agent: Agent) -> list[float] | None:
    """The least and the most that an agent bids for a query; None where no query has bids of its own."""
    if not experiment.points_of_queries:
        return None
    bids = [experiment.columns.get(query, NO_COLUMNS).bids.get(agent.id, agent.bid) for query in experiment.queries]
    return [min(bids), max(bids)]


def _models(checked: Checked) -> Iterator[dict[str, Any]]:
    from ..lm.llama.weights import left_quantised

    files = checked.bidders.files
    if files is None:
        return
    for model in files.models:
        n_cells = files.kv_cells(checked.plan.slots)[model.tuned]
        size = files.kv_bytes_per_token(model)
        yield {
            "reference": str(model.local.reference),
            "path": str(model.path),
            "size": model.local.size,
            "sha256": model.sha256,
            "architecture": model.metadata.architecture,
            "context_length": model.metadata.context_length,
            "quantised": bool(left_quantised(model.metadata.header)),
            "adapters": [_adapter(one) for one in model.adapters],
            "weights": files.weights.of(model.path).form,
            "weights_why": files.weights.of(model.path).why,
            "weights_size": files.weights.size(model.path),
            "kv_cells": n_cells,
            "kv_bytes": round(n_cells * size) if size else None,
            **_findings(checked.experiment, files, model),
        }


def _adapter(adapter: AdapterInUse) -> dict[str, Any]:
    local = adapter.local
    return {
        "reference": str(local.reference),
        "path": str(local.path),
        "scale": adapter.scale,
        "sha256": adapter.sha256,
    }


def _findings(experiment: Experiment, files: GgufFiles, model: ModelInUse) -> dict[str, Any]:
    """What a probe found out about a file."""
    finding = files.findings.get(model.tuned)
    measured = finding.in_words if finding else _NOT_MEASURED
    return {
        "rows_per_second": dict(finding.rows_per_second) if finding else {},
        "crashes": [crash.in_words for crash in finding.crashes] if finding else [],
        "batches": _ALONE if experiment.runtime.deterministic else measured,
    }


def plan_tables(checked: Checked) -> list[Table]:
    """What `tokauction check` prints."""
    facts = plan_facts(checked)
    counted = checked.experiment.auction.counted
    told = [key for key in _COUNTS if checked.experiment.auction.others or key not in _OF_OTHER_MECHANISMS]
    counts = ((_COUNTS[key].format(counted=counted), facts[key]) for key in told)
    added = (*_form_rows(checked, facts), *_cost(facts), *_audit_cost(facts), *_judge_cost(facts))
    plan = Table("Plan", ("what", "how many"), (*counts, *added))
    models = [row for model in facts["models"] for row in _model_rows(model)]
    left_out = [(one.payment, ", ".join(one.aggregation), one.premise) for one in checked.left_out]
    return [
        _agent_table(facts),
        plan,
        *([Table("Payments that are left out", ("payment", "for", "it needs"), tuple(left_out))] if left_out else []),
        *([Table("Models", ("what", "value"), tuple(models))] if models else []),
    ]


def _agent_table(facts: dict[str, Any]) -> Table:
    rows = []
    for agent in facts["agents"]:
        fewest, most = agent["prompt_tokens"]
        span = str(most) if fewest == most else f"{fewest}-{most}"
        least, highest = agent["bids_of_queries"] or (agent["bid"], agent["bid"])
        bid = f"{least:g}" if least == highest else f"{least:g} to {highest:g}, by query"
        heat = f"{agent['temperature']:g}, {agent['truncation']}" if agent["truncation"] else agent["temperature"]
        rows.append((agent["name"], agent["id"], agent["model"] or "table", bid, heat, span))
    return Table("Agents", ("agent", "id", "model", "bid", "temperature", "prompt tokens"), tuple(rows))


def _cost(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """How long, where, and with how much memory."""
    if not facts["models"]:
        return
    seconds = facts["seconds_at_most"]
    at_most = None if seconds is None else timedelta(seconds=max(1, round(seconds)))
    yield "time at most, to evaluate", "not measured yet: `check --probe` does" if at_most is None else f"{at_most}"
    yield "llama.cpp", facts["hardware"]
    for model in facts["models"]:
        size = f" ({model['kv_bytes'] / _MIB:.0f} MiB)" if model["kv_bytes"] else ""
        name = " + ".join([model["reference"], *(f"{one['scale']:g} {one['reference']}" for one in model["adapters"])])
        yield f"KV cells of {name}", f"{model['kv_cells']}{size}"
        for crash in model["crashes"]:
            yield "crashes", crash
        yield "batches", model["batches"]


def _form_rows(checked: Checked, facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Whether texts can have their form within the limit."""
    form, auction = facts["form"], checked.experiment.auction
    if form is None:
        return
    yield "form of texts", form["kind"]
    if form["draws"] is None:
        yield (
            "a text can end",
            f"not known: no short text of the form was found; {auction.limit} is {auction.max_draws}",
        )
        return
    short = f"{form['draws']} {auction.counted}, its end included: {form['text']!r:.80}"
    yield (
        "a text can end",
        f"after {short}"
        if form["fits"]
        else (f"not known: {auction.limit} is {auction.max_draws}, and the shortest text found takes {short}"),
    )


def _judge_cost(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """What judges are asked when the last text is written."""
    for judge in facts["judges"]:
        yield f"judge {judge['name']}", f"{judge['model']}, {facts['cells']} questions at most, after the last text"


def _audit_cost(facts: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """What `tokauction audit --texts` adds to the run, and what `tokauction market` plays afterwards."""
    if (n_texts := facts["audit_texts"]) is not None:
        found = f"{n_texts} texts, then those of best replies" if n_texts else "nothing: it enumerates texts"
        yield "audit --texts writes", found
    if market := facts["market"]:
        policies = ", ".join(f"{agent} {policy}" for agent, policy in market["policies"].items())
        yield "market plays", f"{market['rounds']} rounds, {market['replications']} times: {policies}"


def _model_rows(model: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "model", model["reference"]
    yield "path", model["path"]
    yield "size", f"{model['size'] / _MIB:.1f} MiB"
    form = "as in the file" if model["weights"] == "file" else f"a copy in {model['weights']}"
    yield "weights", f"{form}, {model['weights_size'] / _MIB:.1f} MiB: {model['weights_why']}"
    yield "sha256", model["sha256"]
    yield "architecture", model["architecture"]
    yield "context length", model["context_length"] or "unknown"
    for adapter in model["adapters"]:
        yield "adapter", f"{adapter['path']}, scale {adapter['scale']:g}"
        yield "sha256", adapter["sha256"]
    if model["adapters"] and model["quantised"]:
        yield "note", "the adapter is added to quantised weights: not the same as a merged model that is quantised"
