"""Which runs lie in a folder of results, and which of them a user means.

A target is a run folder, an experiment file, whose run lies in the folder of results, or a folder that holds runs.
Folders that `--fresh` has set aside are runs where they are named, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..experiment.experiment import Experiment, load_experiment
from ..system.errors import UsageError
from .run_folder import RunFolder

RESOLVED = "resolved.yaml"
_SET_ASIDE = re.compile(r"\.old-\d+$")
_OF_A_RUN = re.compile(r".+-[0-9a-f]{8}(\.shard-\d+-of-\d+)?")
_BEFORE_IT_BEGINS = ("log.txt", "experiment.yaml")
_OF_EXPERIMENTS = (".yaml", ".yml")


def folder_of(experiment: Experiment, results: Path) -> RunFolder:
    """`<results>/<name>-<hash of the resolved experiment>`, and of a shard `.shard-3-of-8` behind it."""
    suffix = experiment.shard.suffix if experiment.shard else ""
    return RunFolder(results / f"{experiment.name}-{experiment.semantic_hash}{suffix}")


def is_run(path: Path) -> bool:
    """Whether a run has begun in this folder."""
    return (path / RESOLVED).is_file()


def has_not_begun(path: Path) -> bool:
    """Whether this is the folder of a run that was killed in its first second: it holds a log at most."""
    if not (_OF_A_RUN.fullmatch(path.name) and path.is_dir()):
        return False
    return all(entry.name in _BEFORE_IT_BEGINS or entry.name.startswith(".") for entry in path.iterdir())


def is_experiment(path: Path) -> bool:
    """Whether this names an experiment file."""
    return path.suffix.lower() in _OF_EXPERIMENTS and not path.is_dir()


def runs_in(results: Path) -> list[Path]:
    """The run folders in a folder, by name, without those that were set aside."""
    if not results.is_dir():
        return []
    return sorted(path for path in results.iterdir() if is_run(path) and not _SET_ASIDE.search(path.name))


def chosen_runs(targets: Iterable[Path], results: Path) -> list[Path]:
    """The run folders that these targets mean, each once; raises UsageError for one that means none."""
    return list(dict.fromkeys(run for target in targets for run in _runs_of(target, results)))


def listed_runs(targets: Iterable[Path], results: Path) -> list[Path]:
    """The same, and those that have not begun."""
    found: dict[Path, None] = {}
    for target in targets:
        waiting = _not_begun(target)
        begun = runs_in(target) if waiting else _runs_of(target, results)
        found |= dict.fromkeys([*begun, *waiting])
    return list(found)


def _not_begun(folder: Path) -> list[Path]:
    """This folder, or those in it, where a run has not begun."""
    if has_not_begun(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if has_not_begun(path)) if folder.is_dir() else []


def chosen_run(target: Path, results: Path) -> Path:
    """The one run folder that a target means."""
    runs = list(_runs_of(target, results))
    if len(runs) > 1:
        raise UsageError(f"{target}: this folder holds {len(runs)} runs ({_named(runs)}): name one of them")
    return runs[0]


def _runs_of(target: Path, results: Path) -> Iterator[Path]:
    if is_experiment(target):
        yield run_of(target, results)
    elif is_run(target):
        yield target
    elif runs := runs_in(target):
        yield from runs
    else:
        raise UsageError(_why_none(target))


def run_of(path: Path, results: Path, overrides: Sequence[str] = (), trust: Sequence[str] = ()) -> Path:
    """The folder of an experiment's run; of one that has not run, the error names runs that may be meant."""
    experiment = load_experiment(path, overrides, trust)
    run = folder_of(experiment, results).path
    if is_run(run):
        return run
    prefix, there = re.compile(re.escape(experiment.name) + "-[0-9a-f]{8}"), runs_in(results)
    others = [other for other in there if prefix.fullmatch(other.name)]
    shards = [other for other in there if other.name.startswith(f"{run.name}.shard-")]
    also = f"; with other settings there is {_named(others)}" if others else ""
    also = f", with the texts of {_named(shards)}{also}" if shards else also
    raise UsageError(f"{path}: this experiment has not run in {results}: `tokauction run {path}` runs it{also}")


def _why_none(target: Path) -> str:
    if not target.exists():
        return f"{target}: there is no such folder or file; `tokauction run EXPERIMENT.yaml` makes a run"
    if not target.is_dir():
        return f"{target}: this is neither a run folder nor an experiment file (.yaml)"
    if has_not_begun(target):
        return f"{target}: this run was killed before it began: `tokauction run` begins it, and leaves nothing out"
    return f"{target}: this is not a run folder (it has no resolved.yaml), and holds none; `tokauction run` makes one"


def _named(runs: list[Path]) -> str:
    shown = ", ".join(str(run) for run in runs[:3])
    return shown + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
