"""Old spellings of options: they work for one more version, and a note on stderr names the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .options import FIGURE_FORMATS, listed


def _always(value: str) -> bool:
    return True


def _are_formats(value: str) -> bool:
    return bool(listed(value)) and set(listed(value)) <= set(FIGURE_FORMATS)


def _is_no_folder(value: str) -> bool:
    return not Path(value).is_dir()


class Renamed(NamedTuple):
    """An option of a command, or with '' of every one, and its name now; where `means` says so of its value."""

    command: str
    old: str
    new: str
    means: Callable[[str], bool] = _always


RENAMED = (
    Renamed("report", "--output", "--page"),
    Renamed("report", "-o", "--page", _is_no_folder),
    Renamed("report", "--figures", "--figure-format", _are_formats),
    Renamed("report", "--only", "--figures"),
    Renamed("compare", "--figures", "--columns"),
    Renamed("verify", "--cells", "--sample"),
    Renamed("", "--output", "--results"),
)
"""The first that fits counts. Every one of these options has a value."""


def current(command: str, arguments: Sequence[str], tell: Callable[[str], None]) -> list[str]:
    """The arguments of a command with today's options; `tell` hears of each old one."""
    return list(_current(command, arguments, tell))


def _current(command: str, arguments: Sequence[str], tell: Callable[[str], None]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            yield argument
            break
        option, value = _parted(argument)
        if not any(option == one.old for one in RENAMED):
            yield argument
            continue
        value = next(rest, None) if value is None else value
        new = next((one.new for one in RENAMED if _fits(one, command, option, value)), option)
        if new != option:
            tell(f"{option} is now {new}: the old spelling goes with the next version")
        yield from (new,) if value is None else (new, value)
    yield from rest


def _parted(argument: str) -> tuple[str, str | None]:
    """An option and the value that is written with it, as in --page=x.html and -oresults."""
    if argument.startswith("--"):
        option, equals, value = argument.partition("=")
        return option, value if equals else None
    return argument[:2], argument[2:] or None


def _fits(one: Renamed, command: str, option: str, value: str | None) -> bool:
    return one.command in ("", command) and one.old == option and (value is None or one.means(value))
