"""The page: one HTML file with everything in it. It asks the network for nothing, and its policy forbids it to.

The data stand in the page as JSON with `<` escaped, so no text can end the element it stands in. The scripts make all
elements but those of `plain.py`, and set `textContent` alone. The policy allows just these scripts, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from ..charts.vega import COLOURS, DARK

_SCRIPTS = (
    "dom.js",
    "state.js",
    "texts.js",
    "charts.js",
    "inspector.js",
    "tables.js",
    "audit.js",
    "incentives.js",
    "main.js",
)


def page(title: str, plain: str, data: dict[str, Any], traces: Sequence[str], library: str | None) -> str:
    """The whole file; `plain` stands there without a script, `library` is Vega's bundle, `traces` one block per run."""
    parts = files(__package__.rpartition(".")[0]) / "assets"
    own = "".join((parts / name).read_text("utf-8") for name in _SCRIPTS)
    scripts = [script for script in (library, f'"use strict";(() => {{\n{own}}})();\n') if script is not None]
    blocks = [_block("data", "application/json", _json(data))]
    blocks += [_block(f"traces-{k}", "text/plain", text) for k, text in enumerate(traces) if text]
    style = (parts / "page.css").read_text("utf-8").replace("/* colours */", _colours())
    return (
        (parts / "page.html")
        .read_text("utf-8")
        .format(
            policy=_policy(scripts),
            title=html.escape(title),
            style=style,
            plain=plain,
            data="\n".join(blocks),
            scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        )
    )


def _policy(scripts: Sequence[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _block(name: str, kind: str, content: str) -> str:
    return f'<script type="{kind}" id="{name}">{content}</script>'


def _json(data: dict[str, Any]) -> str:
    """JSON that is inert inside HTML; lone surrogates become question marks."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.encode("utf-8", "replace").decode("utf-8")
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _colours() -> str:
    def variables(colours: Sequence[str]) -> str:
        return "".join(f"--c{k}:{colour};" for k, colour in enumerate(colours))

    dark = variables(DARK)
    return (
        f":root{{{variables(COLOURS)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}\n"
    )
