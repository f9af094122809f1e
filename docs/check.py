"""Holds the pages to the rules of CONTRIBUTING.md that a program can see; `make check` runs it.

    python docs/check.py        prints every breach as file:line, and exits with 1

Links and their sections exist. A page begins with one title, and no level of heading is skipped. Lines of prose have at
most 160 characters, cells of tables at most 40 words. A page of this folder is a link, never a path in backticks. Pages
that come from the code are asked about links alone: their words stand there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
LONGEST_LINE, MOST_WORDS = 160, 40
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
RIDDLES = {
    "anew at every": "say what is done again, and when",
    "one of another": "name the noun",
    "those of another": "name the noun",
    "different moneys": "say what a bid buys",
}


def pages() -> list[Path]:
    """What people read, but for the changelog, which tells of what was."""
    own = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", *own]


def slug(heading: str) -> str:
    """The name of a section in a link, as GitHub and MyST make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a page outside blocks of code; links may stand in any of them."""
    is_code = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def headings(path: Path) -> list[tuple[int, int, str]]:
    found = [(number, re.match(r"(#+) (.*)", line)) for number, line in lines(path)]
    return [(number, len(one[1]), one[2]) for number, one in found if one]


def broken_links(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(path):
        for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, section = target.partition("#")
            page = (path.parent / name).resolve() if name else path
            if not page.exists():
                yield number, f"there is no {name}"
            elif section and section not in {slug(heading) for _, _, heading in headings(page)}:
                yield number, f"{name or 'this page'} has no section #{section}"


def bad_headings(path: Path) -> Iterator[tuple[int, str]]:
    found = headings(path)
    if [level for _, level, _ in found].count(1) != 1 or found[0][1] != 1:
        yield 1, "a page has one title, and begins with it"
    for (_, above, _), (number, level, heading) in pairwise(found):
        if level > above + 1:
            yield number, f"{heading!r} skips a level of headings"


def bad_lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(path):
        if line.startswith("|"):
            longest = max(len(re.sub(r"\$[^$]*\$", "x", cell).split()) for cell in line.split("|"))
            if longest > MOST_WORDS:
                yield number, f"a cell of {longest} words; at most {MOST_WORDS}: make it a list"
        elif len(line) > LONGEST_LINE and "](" not in line:
            yield number, f"{len(line)} characters; at most {LONGEST_LINE}"
        if re.search(r"`docs/[\w/-]+\.md`", line):
            yield number, "name a page by a link"
        for riddle, mend in RIDDLES.items():
            if riddle in line:
                yield number, f"{riddle!r}: {mend}"


def unlisted() -> Iterator[tuple[Path, str]]:
    """Pages that no index lists: nobody would find them."""
    for index in DOCS.glob("*/index.md"):
        listed = re.search(r"\{toctree\}.*?\n\n(.*?)```", index.read_text("utf-8"), re.DOTALL)
        there = {path.stem for path in index.parent.glob("*.md")} - {"index"}
        for name in sorted(there ^ set(listed[1].split() if listed else ())):
            yield index, f"{name}: in the folder or in the list, not in both"


def breaches() -> Iterator[str]:
    for path in pages():
        is_made = "Written by docs/generate.py" in path.read_text("utf-8")
        for check in (broken_links, bad_headings) if is_made else (broken_links, bad_headings, bad_lines):
            yield from (f"{path.relative_to(ROOT)}:{number}: {what}" for number, what in check(path))
    yield from (f"{path.relative_to(ROOT)}: {what}" for path, what in unlisted())


if __name__ == "__main__":
    found = list(breaches())
    print(*found, sep="\n", file=sys.stderr) if found else None
    sys.exit(bool(found))
