"""The runs of a matrix from end to end: run one after the other, written down beside them, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .analysis.expectations import figure_names
from .analysis.run import Run
from .api import load_run, run_experiment, sharded
from .engine.run import Progress
from .experiment.matrix import Matrix, Member, load_matrix
from .experiment.resolved.shard import Shard
from .runs.run_folder import RunFolder
from .runs.run_folders import folder_of, is_experiment, is_run
from .system.errors import NothingInShardError, StoreError, TokauctionError

if TYPE_CHECKING:
    from .analysis.across_runs.members import MemberRuns

FILE = "matrix.json"


class RanMember(NamedTuple):
    """A member of a matrix and its run, or why it has none."""

    member: Member
    run: Run | None
    error: TokauctionError | None = None


def run_members(
    matrix: Matrix, results: Path, progress: Progress, *, shard: Shard | None = None, **options: Any
) -> Iterator[RanMember]:
    """Run every member, as `run_experiment` does with these options; one that fails does not stop the others.

    Members with the same model file share its weights.
    """
    from .lm.llama.kept_models import keeping_models

    with keeping_models():
        for member in matrix.members:
            try:
                experiment = member.experiment if shard is None else sharded(member.experiment, shard)
                yield RanMember(member, run_experiment(experiment, results, progress, **options))
            except NothingInShardError:
                continue
            except TokauctionError as error:
                yield RanMember(member, None, error)


def write_members(matrix: Matrix, results: Path, members: MemberRuns) -> Path:
    """Write the folder of a matrix, beside the runs of its members: which these are, and one table of them."""
    from .analysis.tables.figure_tables import FigureChoice
    from .analysis.tables.tables import render

    folder = RunFolder(results / matrix.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    listed = [
        {"values": list(member.names), "run": folder_of(member.experiment, results).path.name}
        for member in matrix.members
    ]
    about = {"name": matrix.name, "keys": list(matrix.keys), "members": listed}
    folder.write(FILE, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    folder.write("table.csv", render([members.overall(FigureChoice(intervals=True))], "csv"))
    folder.write("table.md", render([members.overall(FigureChoice())], "md"))
    return folder.path


def member_runs(target: Path, results: Path, vary: Sequence[str] = ()) -> tuple[MemberRuns, Path] | None:
    """The runs of the matrix that a file or a folder of a matrix means, and that folder; None where it means none.

    Raises UsageError where no member has run.
    """
    from .analysis.across_runs.members import MemberRuns

    if is_experiment(target):
        matrix = load_matrix(target, vary=vary, figures=figure_names)
        if matrix is None:
            return None
        places = [(member.names, folder_of(member.experiment, results).path) for member in matrix.members]
        name, keys, folder = matrix.name, matrix.keys, results / matrix.folder
    elif (target / FILE).is_file():
        name, keys, places = _read(target)
        folder = target
    else:
        return None
    found = [(names, load_run(path)) for names, path in places if is_run(path)]
    return MemberRuns.of(name, keys, found, len(places)), folder


def _read(folder: Path) -> tuple[str, tuple[str, ...], list[tuple[tuple[str, ...], Path]]]:
    """The name, the keys and the members of a matrix; runs lie beside the folder, wherever it came from."""
    try:
        about = json.loads(RunFolder(folder).read(FILE))
        keys = tuple(map(str, about["keys"]))
        places = [(tuple(map(str, one["values"])), folder.parent / Path(one["run"]).name) for one in about["members"]]
        if any(len(names) != len(keys) for names, _ in places):
            raise ValueError("a member has not one value for each key")
        return str(about["name"]), keys, places
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / FILE}: this is not what a matrix leaves ({error}); run it again") from None
