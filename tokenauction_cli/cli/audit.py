"""`tokauction audit EXP|RUN`: look at the distributions that a run met, check every rule on them, print what holds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .options import Format

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables import Table
    from ..engine.prefixes import Looked
    from ..engine.rules import Rules
    from ..experiment.experiment import Experiment
    from ..lm.base import Vocabulary
    from ..mechanism.aggregation.rules import AggregationRule
    from ..mechanism.audit.finding import Finding

PREFIXES = 20


def audit(
    target: Annotated[
        Path, typer.Argument(metavar="EXP|RUN", help="An experiment, which is run first, or a run folder.")
    ],
    overrides: Annotated[list[str] | None, typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of runs.")] = Path(
        "results"
    ),
    prefixes: Annotated[int, typer.Option("--prefixes", min=1, help="Prefixes to look at (tables: all).")] = PREFIXES,
    orders: Annotated[
        list[str] | None, typer.Option("--order", help="robust, tv, kl, reverse_kl; default: all.")
    ] = None,
    how: Annotated[Format, typer.Option("--format", help="How to print the tables.")] = Format.table,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Check monotonicity, incentives and misreports of every rule and payment on the distributions of a run."""
    from ..engine.rules import Rules
    from ..mechanism.audit.prose import in_words
    from ..runs import manifest

    _need_scipy()
    _check_orders(orders)
    result = _result(target, overrides or [], trust or [], output, quiet)
    rules = Rules.of(result.experiment)
    looked, findings, vocabulary = _findings(result, rules, prefixes, orders, quiet)
    rows = _rows(looked, findings, vocabulary)
    result.folder.write("audit.csv", _csv(rows))
    words = [in_words(group) for group in _by_rule(findings).values()]
    result.folder.write("audit.txt", "\n\n".join(words) + "\n")
    record = result.folder.read_manifest()
    manifest.add_digests(result.folder, record, ("audit.csv", "audit.txt"))
    result.folder.write_manifest(record)
    if result.what_is_missing:
        typer.echo(result.what_is_missing, err=True)
    tables = [_table(rule, group, looked) for rule, group in _by_rule(findings).items()]
    _print(tables, words, how)
    typer.echo(f"All {len(findings)} findings: {result.folder.path / 'audit.csv'}", err=True)


def _need_scipy() -> None:
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        raise UsageError("audits need scipy: install it with `pip install 'tokenauction-cli[stats]'`")


def _check_orders(orders: list[str] | None) -> None:
    from ..experiment.prompts import did_you_mean
    from ..mechanism.aggregation.rules import ORDERS

    for order in orders or []:
        if order not in ORDERS:
            raise UsageError(
                f"unknown order {order!r}: the orders are {', '.join(ORDERS)}{did_you_mean(order, ORDERS)}"
            )


def _result(target: Path, overrides: list[str], trust: list[str], output: Path, quiet: bool) -> Run:
    from ..api import load_run, run_experiment
    from ..engine.interrupts import how_to_continue
    from ..experiment.experiment import load_experiment
    from .progress import progress_for_stderr

    if not target.is_dir():
        experiment = load_experiment(target, overrides, trust)
        progress = progress_for_stderr(quiet)
        try:
            return run_experiment(experiment, output, progress)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(), err=True)
            raise typer.Exit(130) from None
        finally:
            progress.end()
    if overrides:
        raise UsageError(f"{target} is a run folder, whose experiment is fixed: -S needs an experiment file")
    result = load_run(target)
    untrusted = sorted(set(result.experiment.trust) - set(trust))
    if untrusted:
        raise UsageError(
            f"{target}: its rules are code that is not part of tokauction; where you trust it, go to the folder of "
            f"the module and say --trust {' --trust '.join(untrusted)}"
        )
    return result


def _findings(
    result: Run, rules: Rules, n_prefixes: int, orders: list[str] | None, quiet: bool
) -> tuple[Looked, list[Finding], Vocabulary]:
    from ..engine.bidder_models import prepare
    from ..engine.prefixes import look
    from ..engine.rules import terms_of
    from ..mechanism.aggregation.rules import ORDERS
    from ..mechanism.audit.audit import Audit
    from ..runs import manifest

    experiment = result.experiment
    kept = manifest.kv_cache_of(result.folder.read_manifest())
    bidders = prepare(experiment, probe=True, kv_cache=kept)
    with bidders.loaded(1) as model:
        looked = look(experiment, bidders, model, result.folder.records(), n_prefixes)
        brands = {} if looked.exact else _brand_tokens(experiment, model.vocabulary)
        made = Audit(
            rules=list(rules.aggregation.values()),
            payments=list(rules.payments.values()),
            sampling=rules.sampling,
            terms=terms_of(experiment),
            bids=tuple(agent.bid for agent in experiment.agents),
            orders=tuple(orders or ORDERS),
            brand_tokens=brands,
            exact=looked.exact,
        )
        if not quiet:
            names = ", ".join(rule.name for rule in made.rules)
            typer.echo(f"auditing {names}; prefixes: {len(looked.profiles)}", err=True)
        findings = made.run(looked.profiles)
        if looked.exact and len(experiment.agents) <= 3 and model.vocabulary.size <= 4:
            findings += [_universally_stable(rule, looked) for rule in made.rules]
        return looked, findings, model.vocabulary


def _universally_stable(rule: AggregationRule, looked: Looked) -> Finding:
    """Where no sampling is stable for all agents at once, at bids of 1 and 2."""
    from ..mechanism.audit.finding import Failure, count
    from ..mechanism.audit.universal_stability import universally_stable
    from ..mechanism.distributions import MechanismError

    failures = []
    for profile in looked.profiles:
        with suppress(MechanismError):  # undefined there, which is a finding of its own
            failures.append(Failure(0.0 if universally_stable(rule, profile, [1, 2]) else 1.0))
    return count((rule.name, "", "", "universally_stable", ""), failures, 0.0, looked.exact)


def _brand_tokens(experiment: Experiment, vocabulary: Any) -> dict[str, tuple[int, ...]]:
    """The tokens of each agent's own phrases, with and without a space before them."""
    return {
        agent.id: tuple(
            sorted(
                {
                    t
                    for phrase in agent.mentions
                    for lead in ("", " ")
                    for t in vocabulary.tokenize(lead + phrase, control=False)
                }
            )
        )
        for agent in experiment.agents
    }


def _rows(looked: Looked, findings: list[Finding], vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """audit.csv: the findings, with the worst prefix and token as text."""
    rows = []
    for finding in findings:
        row = asdict(finding)
        worst = None if finding.prefix is None else looked.prefixes[finding.prefix]
        row["prefix"] = None if worst is None else _text(worst.tokens, vocabulary)
        row["query"] = None if worst is None else worst.query
        row["token"] = None if finding.token is None else vocabulary.name(finding.token)
        rows.append(row)
    return rows


def _text(tokens: tuple[int, ...], vocabulary: Vocabulary) -> str:
    return b"".join(vocabulary.piece(token) for token in tokens).decode("utf-8", "replace")


def _csv(rows: list[dict[str, Any]]) -> str:
    import pandas as pd

    from ..analysis.tables import frame_csv

    return frame_csv(pd.DataFrame(rows))


def _by_rule(findings: list[Finding]) -> dict[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.rule, []).append(finding)
    return groups


def _print(tables: list[Table], words: list[str], how: Format) -> None:
    """Tables and paragraphs for people, tables alone for papers and programs."""
    from ..analysis.tables import render
    from ..system.environment import visible
    from .terminal import console, rich_table

    if how is not Format.table:
        typer.echo(render(tables, how.value), nl=False)
        return
    out = console()
    for table, paragraph in zip(tables, words, strict=True):
        out.print(rich_table(table))
        out.print(visible(paragraph) + "\n", markup=False, highlight=False)


def _table(rule: str, findings: list[Finding], looked: Looked) -> Table:
    """A row per check and payment, a column per order: at how many texts it fails for the agent it fails most for."""
    from ..analysis.tables import Table

    orders = [order for order in dict.fromkeys(finding.order for finding in findings) if order]
    columns = orders or ["any order"]
    rows: dict[tuple[str, str], dict[str, list[Finding]]] = {}
    for finding in findings:
        if finding.check != "equilibrium":
            rows.setdefault((finding.check, finding.payment), {}).setdefault(finding.order, []).append(finding)
    cells = tuple(
        (_in_words(check), payment, *_cells(by_order, columns, looked.exact))
        for (check, payment), by_order in rows.items()
    )
    where = "every distinct one of" if looked.exact else "a sample of"
    title = f"{rule}: share of {where} {len(looked.profiles)} prefixes where it fails (worst failure)"
    return Table(title, ("check", "payment", *columns), cells)


def _in_words(check: str) -> str:
    """A name that a narrow column can break between words."""
    return check.replace("_", " ")


def _cells(by_order: dict[str, list[Finding]], orders: list[str], exact: bool) -> list[str]:
    """One cell per order; what has no order stands in the first."""
    if "" in by_order:
        return [_cell(by_order[""], exact), *[""] * (len(orders) - 1)]
    return [_cell(by_order.get(order, []), exact) for order in orders]


def _cell(findings: list[Finding], exact: bool) -> str:
    """For the agent for whom it fails most often; in brackets the largest failure of any agent."""
    if not findings:
        return ""
    most = max(findings, key=lambda finding: finding.violated)
    interval = "" if exact else f" [{most.low:.0%}, {most.high:.0%}]"
    if most.holds:
        return f"never{interval}"
    return f"{most.violated:.0%}{interval} ({max(finding.worst for finding in findings):.2g})"
