"""The Python API: a run from end to end, read back, checked, reported.

It composes what the packages below do, and knows in which order; it does not know how each is done. The command line
and notebooks call the same functions:

    run, load_run, read_csv, check, compare, list_runs, write_report    from files, folders or dicts, for people
    run_experiment, check_experiment, audit_run     of what is read already, for the command line
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis.columns.reading import read_csv as read_csv
from .analysis.expectations import figure_names
from .analysis.run import Collected, Run, files_of, read_back
from .analysis.run_market import check_trusted, with_market
from .auditing import audit_run as audit_run
from .auditing import audit_texts as audit_texts
from .auditing import check_audit as check_audit
from .auditing import check_auditable as check_auditable
from .auditing import check_text_audit as check_text_audit
from .auditing import write_files
from .engine.candidates.settlement import check_listed
from .engine.models.bidder_models import BidderModels
from .engine.models.prepare import prepare
from .engine.plan import Plan, cells_of, n_cells
from .engine.rules import LeftOut, Rules
from .engine.run import Progress, SilentProgress, compute, experiment_of, get_ready, plan_for
from .engine.running.agreement import disagreement
from .engine.running.form_facts import FormFacts, form_facts
from .engine.workplace import Workplace
from .experiment.experiment import Experiment, load_experiment
from .experiment.from_mapping import experiment_from
from .experiment.resolved.shard import Shard
from .runs import manifest
from .runs.run_folder import RecordReader, RunFolder
from .runs.run_folders import chosen_run, chosen_runs, folder_of, is_experiment, listed_runs, run_of
from .runs.run_log import logging_to
from .system.errors import NothingInShardError, UsageError
from .system.steps import Hear, unheard
from .workers.workers import Workers, workplace_of
from .worths.text_judges import ask_judges, check_judges

if TYPE_CHECKING:
    import pandas as pd

    from .analysis.across_runs.run_comparison import Comparison
    from .analysis.run_market import RunMarket
    from .report.report import Report

PathOrData = str | Path | Mapping[str, Any]
RESULTS = Path("results")


def run(
    experiment: PathOrData,
    results: str | Path = RESULTS,
    progress: Progress | None = None,
    *,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
    n: int | None = None,
    fresh: bool = False,
    reuse: bool = True,
    shard: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Run:
    """Run an experiment, or continue it: a file, or a dict as its YAML would give it.

    `results` is the folder of run folders; `progress` hears `begin(n_cells, n_done)`, `step(n_cells, n_tokens, share)`
    and `note(text)`; `overrides` are `key.path=value` as after -S; `trust` names modules whose rules may run; `n` stops
    after the first n cells; `fresh` begins anew and renames the old folder; `reuse` takes over equal texts that other
    runs in `results` have finished; `shard`, as in "3/8", runs one of 8 parts in a folder of its own. `workers` are
    processes that share the work, `scheduler` is the address of a Dask cluster that does; a script that starts
    `workers` needs `if __name__ == "__main__"`. Ctrl-C keeps what is finished.

    Raises ExperimentError for mistakes in the file, UsageError for what cannot be done, ModelError for unfit models.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> run(tea).cells["text"].tolist()
    ['tea tea']
    """
    loaded = _experiment(experiment, overrides, trust)
    if shard is not None:
        loaded = sharded(loaded, Shard.parse(shard))
    chosen = Workers.chosen(workers, scheduler, trust)
    progress = progress or SilentProgress()
    return run_experiment(loaded, Path(results), progress, n=n, fresh=fresh, reuse=reuse, workers=chosen)


def load_run(path: str | Path, results: str | Path = RESULTS, *, hear: Hear = unheard) -> Run:
    """A run folder, or an experiment file whose run is in `results`, read back without touching it.

    `hear(what, done, of)` hears how far that is. Raises UsageError where it is none, or holds no finished cell.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> load_run(run(tea).path).cells["text"].tolist()
    ['tea tea']
    """
    return read_back(chosen_run(Path(path), Path(results)), hear)


def sharded(experiment: Experiment, shard: Shard) -> Experiment:
    """The same of one part of its texts; raises NothingInShardError where that is none."""
    part = replace(experiment, shard=shard)
    if not n_cells(part):
        raise NothingInShardError(f"shard {shard} of {experiment.path} has no text: there is nothing to run")
    return part


@dataclass(frozen=True, eq=False)
class Checked:
    """A valid experiment, what speaks for its agents, and its plan; no weights are loaded."""

    experiment: Experiment = field(repr=False)
    bidders: BidderModels = field(repr=False)
    plan: Plan = field(repr=False)
    n_cells: int
    n_candidates: int  # texts that cells choose among; these cells are not written themselves
    n_tokens: int  # at most
    n_evaluations: int  # at most: cells share those of a common prefix
    seconds: float | None  # that these take; None where no probe has timed the models, and for tables
    left_out: tuple[LeftOut, ...]  # payments that do not fit every aggregation rule
    form: FormFacts | None = None  # of `auction.constraint`


def check(experiment: PathOrData, *, overrides: Sequence[str] = (), trust: Sequence[str] = ()) -> Checked:
    """Validate an experiment with its models and rules, and plan it; raises ExperimentError with every mistake.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> checked = check(tea)
    >>> checked.n_cells, checked.n_tokens
    (1, 2)
    """
    return check_experiment(_experiment(experiment, overrides, trust))


def list_runs(folder: str | Path = RESULTS) -> pd.DataFrame:
    """A row per run in a folder: how far it is, when it was written, and what tells it from others of its name.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> made = run(tea, "mine")
    >>> len(list_runs("mine"))
    1
    """
    import pandas as pd

    from .analysis.across_runs.run_list import run_table

    table = run_table(listed_runs([Path(folder)], Path(folder)))
    return pd.DataFrame(table.rows, columns=list(table.columns))


def compare(runs: Iterable[Run | str | Path], results: str | Path = RESULTS) -> Comparison:
    """What differs between runs, the first and each other one: in settings and versions, and in their numbers.

    Numbers are means over the texts that all the runs have: of the same query, rule, relative weight and seed.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> found = compare([run(tea), run(tea | {"name": "more_tea", "auction": {"max_tokens": 3}})])
    >>> type(found).__name__
    'Comparison'
    """
    from .analysis.across_runs.run_comparison import compare_runs

    return compare_runs(_loaded(runs, results))


def market_in(
    target: Path, results: Path, overrides: Sequence[str] = (), trust: Sequence[str] = ()
) -> tuple[Run, RunMarket]:
    """Play the market of a run, and write market.csv and market_paths.csv into its folder.

    The target is a run folder, of which `overrides` may change the section `market` alone, or an experiment that has
    run.
    """
    from .analysis.frames.mechanism_names import for_programs
    from .analysis.tables.tables import frame_csv

    if is_experiment(target):
        run, experiment = (
            read_back(run_of(target, results, overrides, trust)),
            load_experiment(target, overrides, trust),
        )
    else:
        path = chosen_run(target, results)
        experiment_of_run(path, trust)
        run = read_back(path)
        experiment = with_market(run.folder, run.experiment, overrides, trust)
    run = replace(run, experiment=experiment)
    found = run.market(trust=experiment.trust)
    frames = {"market.csv": found.table, "market_paths.csv": found.paths}
    with run.folder.locked():
        files = {name: frame_csv(for_programs(experiment, frame)) for name, frame in frames.items()}
        write_files(run.folder, manifest.readable(run.folder), files)
    return run, found


def write_report(
    runs: Run | str | Path | Iterable[Run | str | Path],
    output: str | Path | None = None,
    figures: Sequence[str] = ("svg",),
    results: str | Path = RESULTS,
    only: Sequence[str] = (),
    *,
    hear: Hear = unheard,
) -> Report:
    """Write one page about runs, by default report.html in the run folder, or here for several.

    A run is named by its folder, by its experiment file, or by a folder of runs, which means all that are in it.
    Figures come beside it, in these formats; with names in `only` just those, as in mention_rate or payment.vcg.

    Raises UsageError for an unknown format of figures, and where there is no run.

    >>> tea = {"name": "tea", "agents": [{"name": "Ann", "distribution": {"tea": 1}}], "auction": {"max_tokens": 2}}
    >>> report = write_report(run(tea), figures=())
    >>> (run(tea).path / "report.html").exists()
    True
    """
    from .report.export import FORMATS
    from .report.report import write_report as write

    unknown = [form for form in figures if form not in FORMATS]
    if unknown:
        raise UsageError(f"figures: there is no format {unknown[0]!r}; the formats are {', '.join(FORMATS)}")
    loaded = _loaded(runs, results, hear)
    if not loaded:
        raise UsageError("a report needs at least one run")
    default = loaded[0].path / "report.html" if len(loaded) == 1 else Path("report.html")
    return write(loaded, default if output is None else Path(output), figures, only, hear)


def run_experiment(
    experiment: Experiment,
    results: Path,
    progress: Progress,
    *,
    n: int | None = None,
    fresh: bool = False,
    reuse: bool = True,
    workers: Workers | None = None,
) -> Run:
    """Compute the cells that are not on disk yet, and write the tables of all that are; a `fresh` run reuses nothing.

    The manifest is read once, every record is parsed once, and the cells are made once.
    """
    if n is not None and n < 1:
        raise UsageError(f"n = {n}: there must be at least one text to run")
    check_judges(experiment)
    folder = folder_of(experiment, results)
    if fresh:
        folder.set_aside()
    with folder.locked(progress.note):
        cells = cells_of(experiment)
        folder = folder.expecting(disagreement(experiment, cells))
        collected, records = Collected(experiment, cells), RecordReader(folder)
        collected.add(records.new())
        ask = partial(ask_judges, tell=progress.note)
        known = manifest.readable(folder)
        if folder.wrong:
            progress.note(f"{folder.path}: passed over, written anew where a text is missing: {folder.wrong}")
        if records.cells.issuperset(cell.id for cell in cells[:n]):
            if why := manifest.of_another_version(folder, known):
                progress.note(f"{why}; its texts are shown as they are: --fresh writes them anew")
            for note in manifest.unheeded(known, experiment.runtime):
                progress.note(note)
            return _repaired(_with_tables(collected.run(folder, known, was_complete=True, ask=ask)))
        with _connected(workers, folder, progress) as workplace:
            ready = get_ready(folder, known, experiment, progress, workplace)
            with logging_to(folder):
                folder.keep_wrong_manifest()
                known = compute(ready, cells, records.cells, progress, n, reuse=reuse and not fresh)
                collected.add(records.new())
                return _repaired(_with_tables(collected.run(folder, known, was_complete=False, ask=ask)))


def _repaired(run: Run) -> Run:
    """With what no run writes out of the way, beside the files it stood in."""
    run.folder.set_wrong_aside()
    return run


@contextmanager
def _connected(workers: Workers | None, folder: RunFolder, progress: Progress) -> Iterator[Workplace]:
    """Where the texts will be written; what cannot be reached leaves no folder."""
    with ExitStack() as stack:
        try:
            workplace = stack.enter_context(workplace_of(workers, progress.note))
        except BaseException:
            folder.forget_if_empty()
            raise
        yield workplace


def experiment_of_run(path: Path, trust: Sequence[str]) -> Experiment:
    """The experiment of a run folder; raises UsageError where it needs a stranger's code.

    A run folder may come from anywhere: the modules that it trusts are not trusted here, but in `trust`.
    """
    folder = RunFolder(path)
    experiment = experiment_of(folder, manifest.readable(folder))
    check_trusted(path, experiment, trust)
    return experiment


def check_experiment(experiment: Experiment, *, probe: bool = False) -> Checked:
    """Plan an experiment; `probe` measures anew whether records depend on batching, for as long as it takes."""
    bidders = prepare(experiment)
    if probe and bidders.files:
        bidders.files.probe(thoroughly=True)
    check_listed(experiment, Rules.of(experiment))
    check_judges(experiment)
    plan = plan_for(experiment, bidders)
    most_tokens = plan.n_cells * experiment.auction.max_draws
    most_prompts = max(len(prompt_set.prompts) for prompt_set in bidders.prompt_sets.values())
    seconds = bidders.files.seconds(most_tokens) if bidders.files else None
    left_out = Rules.of(experiment).left_out(experiment.auction.reserve)
    counts = n_cells(experiment), _n_candidates(experiment, plan), most_tokens, most_tokens * most_prompts
    return Checked(experiment, bidders, plan, *counts, seconds, left_out, form_facts(experiment, bidders))


def _n_candidates(experiment: Experiment, plan: Plan) -> int:
    """How many of the texts of a plan are no cell of the experiment."""
    if not experiment.auction.others:
        return 0
    cells = {cell.id for cell in cells_of(experiment)}
    return sum(text.id not in cells for text in plan.cells)


def _with_tables(run: Run) -> Run:
    """Write what a run's frames are on disk."""
    write_files(run.folder, run.manifest, files_of(run))
    return run


def _loaded(
    runs: Run | str | Path | Iterable[Run | str | Path], results: str | Path, hear: Hear = unheard
) -> list[Run]:
    """Runs, and those that these targets mean."""
    loaded: dict[Path, Run] = {}
    for one in [runs] if isinstance(runs, (Run, str, Path)) else runs:
        if isinstance(one, Run):
            loaded.setdefault(one.path, one)
            continue
        for path in chosen_runs([Path(one)], Path(results)):
            if path not in loaded:
                loaded[path] = load_run(path, hear=hear)
    return list(loaded.values())


def _experiment(given: PathOrData, overrides: Sequence[str], trust: Sequence[str]) -> Experiment:
    if isinstance(given, Mapping):
        return experiment_from(given, overrides, trust, figure_names)
    return load_experiment(Path(given), overrides, trust, figure_names)
