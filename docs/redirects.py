"""Where the pages are that once stood in docs/ itself: on the site, links to the old places lead on."""

from __future__ import annotations

from pathlib import Path

MOVED = {
    "how-to": ("adding-a-mechanism", "adding-a-rule"),
    "reference": ("cli", "columns", "experiment", "python", "report", "mentions"),
    "explanation": ("architecture", "audit", "bytes", "decisions", "mechanisms", "performance", "whole-texts"),
    "studies": ("families",),
}
REDIRECTS = {old: f"{room}/{old}" for room, pages in MOVED.items() for old in pages} | {
    "ci": "how-to/continuous-integration",
    "scale": "how-to/cluster",
}

ONWARD = """<!doctype html><meta charset="utf-8"><title>Moved</title><link rel="canonical" href="{to}.html">
<meta http-equiv="refresh" content="0; url={to}.html"><p>This page is now <a href="{to}.html">{to}</a>.
"""


def write(site: Path) -> None:
    for old, new in REDIRECTS.items():
        (site / f"{old}.html").write_text(ONWARD.format(to=new), "utf-8")
