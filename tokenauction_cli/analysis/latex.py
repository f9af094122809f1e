"""Tables for papers: LaTeX with the rules of the package booktabs."""

from __future__ import annotations

import re
from typing import Any

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "$&#_%"},
}
LONG = 24  # characters from which a column of text is a paragraph


def latex_table(title: str, columns: list[str], rows: list[list[str]], is_number: list[bool]) -> str:
    """One table; the cells are text that is already fit to read."""
    lines = [
        r"% \usepackage{booktabs}; with other than Latin letters also LuaLaTeX or XeLaTeX",
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{escaped(title)}}}"] if title else []),
        rf"\begin{{tabular}}{{@{{}}{_columns(rows, is_number)}@{{}}}}",
        r"\toprule",
        _line(columns),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that LaTeX sets as it stands; line breaks become blanks."""
    return re.sub(r"\s+", " ", "".join(SPECIAL.get(sign, sign) for sign in text)).strip()


def _line(cells: list[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _columns(rows: list[list[Any]], is_number: list[bool]) -> str:
    """Numbers to the right, short text to the left, long text in paragraphs that share the line."""
    is_long = [not number and any(len(row[k]) > LONG for row in rows) for k, number in enumerate(is_number)]
    width = 0.82 / max(1, sum(is_long))
    return "".join(
        "r" if number else rf"p{{{width:.2f}\linewidth}}" if long else "l"
        for number, long in zip(is_number, is_long, strict=True)
    )
