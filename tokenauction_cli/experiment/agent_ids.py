"""How agents are named in a file: names as written, ids made from them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any


def slug(name: str) -> str:
    """A name as an id: ASCII, lower case, other signs as `_`; may be empty."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")[:100]


def agent_names(entries: Sequence[Any]) -> list[str]:
    """The names as written, empty where there is none."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    return [name if isinstance(name, str) else "" for name in names]


def default_ids(entries: Sequence[Any]) -> list[str]:
    """The agents' ids: as written, else the slug of the name, else agent1, agent2, ... by position."""
    given = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
    ids = [i if isinstance(i, str) else slug(name) for i, name in zip(given, agent_names(entries), strict=True)]
    taken = set(ids)
    for i, agent_id in enumerate(ids):
        if not agent_id:
            ids[i] = next(c for n in range(i + 1, i + 2 + len(ids)) if (c := f"agent{n}") not in taken)
            taken.add(ids[i])
    return ids
