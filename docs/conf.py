"""The documentation site: `make site` builds it from these pages, offline, with warnings as errors.

Formulas become MathML here, by docutils, so that a page asks no other server for anything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer

import tokenauction_cli

sys.path.insert(0, str(Path(__file__).parent))
import live_reports
import redirects

project = "tokauction"
copyright = "The tokauction contributors, Apache-2.0"
release = version = tokenauction_cli.__version__
html_title = f"tokauction {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "code"  # what stands in single backticks in a docstring
autodoc_mock_imports = ["llama_cpp", "distributed", "vl_convert"]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "tango", "monokai"

if repository := os.environ.get("GITHUB_REPOSITORY"):  # "edit this page", where a workflow knows of which repository
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    html_theme_options: dict[str, Any] = {
        "source_repository": f"{server}/{repository}/",
        "source_branch": "main",
        "source_directory": "docs/",
    }


def math_inline(self: Any, node: Any) -> None:
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise SkipNode


def math_block(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise SkipNode


def keep_as_written(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A module's docstring has tables and formulas of its own making, which are no markup."""
    if what == "module":
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]


def name_reports(app: Any, docname: str, source: list[str]) -> None:
    source[0] = source[0].replace("<!-- reports -->", live_reports.links())


def add_pages(app: Any, exception: Exception | None) -> None:
    """Live reports, and pages that lead on from old places."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    live_reports.write(site)
    redirects.write(site)


html_extra_path = ["llms.txt"]


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (math_inline, None), (math_block, None))
    app.add_lexer("mermaid", TextLexer)
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", keep_as_written)
    app.connect("source-read", name_reports)
    app.connect("build-finished", add_pages)
