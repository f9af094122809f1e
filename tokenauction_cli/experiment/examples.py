"""The experiments that come along: `examples/` in an installed package, `experiments/` in a clone of the source."""

from __future__ import annotations

from pathlib import Path

from ..system.errors import UsageError
from ..system.wording import did_you_mean

_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "examples", _PACKAGE.parent / "experiments")


def examples() -> dict[str, Path]:
    """Their files by name."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def example(name: str) -> str:
    """The text of one; raises UsageError where there is none of this name."""
    known = examples()
    if name not in known:
        raise UsageError(
            f"there is no example {name!r}{did_you_mean(name, list(known))}; the examples are {', '.join(known)}"
        )
    return known[name].read_text("utf-8")
