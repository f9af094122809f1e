"""What `judges` may say: models that read every finished text and are asked one question that Yes or No answers."""

from __future__ import annotations

from pydantic import Field

from .agents import Adapters
from .values import FilledText, Section


class TextJudge(Section):
    """A model that reads a finished text and is asked one question that Yes or No answers.

    Its score of a text is p(Yes) / (p(Yes) + p(No)), the column judge.NAME. An agent's own model may be one.
    """

    model: FilledText = Field(description="As of an agent.")
    adapter: Adapters | None = Field(default=None, description="As of an agent.")
    prompt: FilledText = Field(
        description="Raw text that ends where Yes or No follows. A Jinja2 template: {{ query }} and {{ text }} are "
        "known; of a judge in `audit.texts.value` {{ agent }} too."
    )
