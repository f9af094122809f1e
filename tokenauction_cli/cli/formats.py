"""How a command prints its tables."""

from __future__ import annotations

from enum import Enum


class Format(str, Enum):
    """For people (`table`), for papers (`md`, `latex`), for programs (`csv`, `json`, `jsonl`)."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    latex = "latex"
