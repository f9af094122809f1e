"""What a matrix leaves to one of its members: no key `matrix`, and the expectations that are about this member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..format.expect import At
from ..source.source import Laid, Source


def settle_matrix(source: Source, overrides: Sequence[str], laid: Sequence[Laid]) -> None:
    """Report a matrix where one experiment is needed: a key varies that neither a member nor -S has a value for."""
    matrix = source.data.pop("matrix", None)
    known = {one.key for one in laid} | {override.partition("=")[0] for override in overrides}
    free = [key for key in matrix if key not in known] if isinstance(matrix, dict) else []
    if free:
        message = (
            "this file is a matrix, which run, check, show, report, compare and audit take; for one experiment set its "
            f"keys: {' '.join(f'-S {key}=...' for key in free)}"
        )
        source.problem(("matrix",), message, at_key=True)
    _settle_expectations(source, {one.key: one for one in laid}, free)


def _settle_expectations(source: Source, laid: Mapping[str, Laid], free: Sequence[str]) -> None:
    """Keys of the file in `at` choose the members that an expectation is about."""
    expect = source.get("expect")
    if not isinstance(expect, list):
        return
    kept = [
        k
        for k, one in enumerate(expect)
        if _is_meant(source, one.get("at") if isinstance(one, dict) else None, laid, free)
    ]
    if len(kept) < len(expect):
        source.keep_expectations(kept)


def _is_meant(source: Source, at: Any, laid: Mapping[str, Laid], free: Sequence[str]) -> bool:
    """Whether every key of the file has the value that is wanted; these keys are taken out of `at`."""
    for key in [key for key in at if key not in At.model_fields] if isinstance(at, dict) else []:
        if key in free:
            return False
        try:
            value = source.at_key(key)
        except LookupError:  # no key of the file: a mistake, told with the others
            continue
        wanted = at.pop(key)
        if wanted != value and not (key in laid and wanted == laid[key].name):
            return False
    return True
