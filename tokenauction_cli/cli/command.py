"""What every command has beside its own options: old spellings, examples, and where to read more."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from .spellings import current

EXAMPLES = {
    "": ("tokauction init", "tokauction run experiment.yaml", "tokauction report experiment.yaml"),
    "init": ("tokauction init", "tokauction init study --example mechanism-design-for"),
    "schema": ("tokauction schema > experiment.schema.json",),
    "check": (
        "tokauction check experiment.yaml",
        "tokauction check experiment.yaml --prompts",
        "tokauction check experiment.yaml --probe --set sweep.seeds=100",
    ),
    "run": (
        "tokauction run experiment.yaml",
        "tokauction run experiment.yaml --limit 10 --set auction.max_tokens=8",
        "tokauction run results/hawaii-1a2b3c4d",
    ),
    "play": ("tokauction play experiment.yaml", "tokauction play experiment.yaml --rule linear --weight 0.8"),
    "rules": ("tokauction rules", "tokauction rules --format md"),
    "list": ("tokauction list", "tokauction list results --format csv"),
    "show": (
        "tokauction show experiment.yaml",
        "tokauction show experiment.yaml --table rates,payments --intervals",
        "tokauction show experiment.yaml --columns tokens,tv --format csv",
    ),
    "compare": (
        "tokauction compare a.yaml b.yaml",
        "tokauction compare a.yaml b.yaml --table points --columns mention_rate",
    ),
    "report": (
        "tokauction report experiment.yaml",
        "tokauction report a.yaml b.yaml --page both.html",
        "tokauction report a.yaml --figures mention_rate,revenue --figure-format pdf",
    ),
    "audit": ("tokauction audit experiment.yaml", "tokauction audit experiment.yaml --texts"),
    "market": ("tokauction market experiment.yaml", "tokauction market experiment.yaml --rounds 1000 --intervals"),
    "verify": ("tokauction verify experiment.yaml", "tokauction verify results --sample 20"),
    "doctor": ("tokauction doctor", "tokauction doctor --format json"),
    "models": ("tokauction models list", "tokauction models pull smollm2-135m-instruct"),
    "models list": ("tokauction models list", "tokauction models list --format json"),
    "models pull": ("tokauction models pull hf:bartowski/SmolLM2-360M-Instruct-GGUF:Q4_K_M",),
    "models path": ("tokauction models path smollm2-135m-instruct",),
    "models verify": ("tokauction models verify smollm2-135m-instruct",),
    "models clean": ("tokauction models clean --unused 30",),
}
"""By the words after `tokauction`. Tests parse each."""

_SOURCE = "docs/index.md in the source; `make site` makes a website of it"


class Command(TyperCommand):
    """A command that knows its old options, and whose help ends with examples."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, current(str(ctx.info_name), args, _silent if ctx.resilient_parsing else _tell))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.epilog = _end_of_help(ctx, None)
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """The same of commands of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        said, self.epilog = self.epilog, _end_of_help(ctx, self.epilog)
        super().format_help(ctx, formatter)
        self.epilog = said


def documentation() -> str:
    """Where the documentation is: the address that the installed distribution states, else its place in the source."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        stated = metadata("tokenauction-cli").get_all("Project-URL") or []
    except PackageNotFoundError:
        stated = []
    addresses = dict(one.split(", ", 1) for one in map(str, stated))
    return addresses.get("Documentation", _SOURCE)


def _end_of_help(ctx: Any, said: str | None) -> str:
    examples = "\n".join(["Examples:", *(f"  {one}" for one in EXAMPLES[_words(ctx)])])
    return "\n\n".join(filter(None, (said, examples, f"Documentation: {documentation()}")))


def _words(ctx: Any) -> str:
    """What was typed after `tokauction`, to the command."""
    return f"{_words(ctx.parent)} {ctx.info_name}".strip() if ctx.parent else ""


def _tell(note: str) -> None:
    typer.echo(note, err=True)


def _silent(note: str) -> None:
    """While a shell completes words."""
