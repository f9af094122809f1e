"""Which of a repository's GGUF files is meant: by name, or by a quantisation such as Q4_K_M in its name.

A large model comes in parts, name-00001-of-00003.gguf and so on: they are one model, and llama.cpp opens the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

_LISTED = 12  # of a repository's models, in a message
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)


def all_parts(name: str) -> tuple[str, ...]:
    """The names of all parts of the model that `name` is a part of, in order: itself alone, mostly."""
    match = _PART.fullmatch(name)
    if match is None:
        return (name,)
    total = int(match["total"])
    return tuple(f"{match['stem']}-{number:05}-of-{total:05}.gguf" for number in range(1, total + 1)) or (name,)


def first_parts(names: Iterable[str]) -> list[str]:
    """One name per model: the parts of one model count as its first part."""
    return sorted({all_parts(name)[0] for name in names})


def choose(file: str | None, quantisation: str | None, names: Sequence[str]) -> tuple[str, ...] | str:
    """The names of the parts of the file meant, or, in words, why there is none."""
    if file is not None:
        return all_parts(file) if file in names else f"the repository has no {file}: {_listing(names, file)}"
    assert quantisation is not None
    fitting = _with_quantisation(quantisation, first_parts(names))
    if len(fitting) == 1:
        return all_parts(fitting[0])
    if fitting:
        return f"{quantisation} fits several files: {', '.join(fitting)}: name one, as in hf:user/repo/{fitting[0]}"
    return f"no file has {quantisation} in its name: {_listing(names)}"


def _with_quantisation(quantisation: str, names: Sequence[str]) -> list[str]:
    """The models with the quantisation as a token of the file's name, or else of its folder's.

    Q4_K is not in model-Q4_K_M.gguf, F16 is not in model-BF16.gguf. Vision projectors (mmproj) are no language models.
    """
    token = re.compile(rf"(?<![A-Za-z0-9]){re.escape(quantisation)}(?![A-Za-z0-9_])", re.IGNORECASE)
    models = [name for name in names if "mmproj" not in PurePosixPath(name).name.lower()]
    by_name = [name for name in models if token.search(PurePosixPath(name).name)]
    return by_name or [name for name in models if token.search(str(PurePosixPath(name).parent))]


def _listing(names: Sequence[str], wanted: str = "") -> str:
    models = first_parts(names)
    if not models:
        return "it has no GGUF file at all"
    near = get_close_matches(wanted, models, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    others = f" and {len(models) - _LISTED} more" if len(models) > _LISTED else ""
    return f"{hint}it has {', '.join(models[:_LISTED])}{others}"
