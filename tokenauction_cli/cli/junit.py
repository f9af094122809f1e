"""A run as JUnit XML, which continuous integration shows: a test case for its texts, and one per expectation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ..system.environment import visible
from ..system.errors import UsageError

if TYPE_CHECKING:
    from ..analysis.run import Run

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, run: Run) -> None:
    """Write the file, and the folder it lies in; raises UsageError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(junit(run))
    except OSError as error:
        raise UsageError(f"--junit {path}: {error.strerror}; name a file that can be written") from None


def junit(run: Run) -> bytes:
    """The XML of a run; what is not decided yet is skipped."""
    cases = [_texts(run), *_expectations(run)]
    suite = ElementTree.Element("testsuite", name=run.experiment.name, tests=str(len(cases)))
    for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    for case in cases:
        case.set("classname", run.experiment.name)
        suite.append(case)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _texts(run: Run) -> ElementTree.Element:
    case = _case("every text is written")
    if run.n_failed:
        ElementTree.SubElement(case, "error", message=_fit(run.what_failed))
    elif run.what_is_missing:
        ElementTree.SubElement(case, "skipped", message=_fit(run.what_is_missing))
    return case


def _expectations(run: Run) -> Iterator[ElementTree.Element]:
    from ..analysis.expectations import bounds, problem_of, what_is_expected

    for expectation, verdict in zip_longest(run.experiment.expect, run.verdicts):
        case = _case(f"{what_is_expected(expectation)}: {bounds(expectation)}")
        if verdict is None:
            ElementTree.SubElement(case, "skipped", message=_fit(run.what_is_missing))
        elif not verdict.holds:
            ElementTree.SubElement(case, "failure", message=_fit(str(problem_of(verdict))))
        yield case


def _case(name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", name=_fit(name))


def _fit(text: str) -> str:
    """Text without what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", visible(text))
