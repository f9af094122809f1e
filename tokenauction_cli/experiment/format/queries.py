"""What `queries` may say: texts, rows with columns, or a file of rows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Strict, Tag

from .values import Count, FilledText, Section, Text, Whole, says


class Query(Section):
    """A query with columns, as a row of a file has them: {{ column }} in prompts, bid.NAME for an agent's bid."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[
        str,
        Annotated[
            Annotated[str, Strict()] | Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)],
            says("text, or for a bid a number of at least 0"),
        ],
    ]

    query: Text = Field(description="What the user asks.")


class QueryFile(Section):
    """A file of queries, a row for each, or a sample of its rows."""

    file: FilledText = Field(
        description="A file of rows, relative to this file: CSV, JSON Lines (.jsonl) or Parquet (.parquet; needs the "
        "extra `parquet`), or hf:datasets/user/name/file.parquet@revision on the hub."
    )
    sample: Count | None = Field(
        default=None, description="So many rows, drawn without replacement. Default: every row."
    )
    seed: Whole = Field(default=0, description="Seed of the sample: another seed, other rows.")
    by: FilledText | None = Field(
        default=None, description="A column. Each of its values has a part of the sample in proportion to its rows."
    )
    sha256: FilledText | None = Field(
        default=None, description="The digest of the rows, as a run folder writes it; other rows are a mistake."
    )


def _text_or_row(value: Any) -> str:
    return "query row" if isinstance(value, (dict, Query)) else "query text"


Queries = Annotated[
    tuple[
        Annotated[Annotated[Text, Tag("query text")] | Annotated[Query, Tag("query row")], Discriminator(_text_or_row)],
        ...,
    ],
    Field(min_length=1),
]
