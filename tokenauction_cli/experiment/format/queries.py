"""What `queries` may say: texts, or rows with columns."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Strict, Tag

from .values import Section, Text, says


class Query(Section):
    """A query with columns, as a row of a CSV file has them: {{ column }} in prompts, bid.NAME for an agent's bid."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[
        str,
        Annotated[
            Annotated[str, Strict()] | Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)],
            says("text, or for a bid a number of at least 0"),
        ],
    ]

    query: Text = Field(description="What the user asks.")


def _text_or_row(value: Any) -> str:
    return "query row" if isinstance(value, (dict, Query)) else "query text"


Queries = Annotated[
    tuple[
        Annotated[Annotated[Text, Tag("query text")] | Annotated[Query, Tag("query row")], Discriminator(_text_or_row)],
        ...,
    ],
    Field(min_length=1),
]
