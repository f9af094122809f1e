"""`tokauction rules`: every rule and mechanism that an experiment file can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import Format, Output
from .results import print_plain

if TYPE_CHECKING:
    from ..mechanism.registry import Kind

_KEYS: dict[Kind, str] = {
    "aggregation": "auction.aggregation",
    "sampling": "auction.sampling",
    "payment": "auction.payments",
    "mechanism": "auction.mechanism",
}


def rules(how: Output = Format.table) -> None:
    """List every rule and mechanism, with one line on each: aggregation, sampling, payments, mechanisms.

    Those of installed packages are listed with their package. A rule of one's own is called module:Name.
    """
    from ..analysis.tables.tables import Table
    from ..mechanism.registry import about, names

    tables = [
        Table(
            key, ("name", "what it is"), tuple((name, about(kind, name)) for name in names(kind)), keys=(("key", key),)
        )
        for kind, key in _KEYS.items()
    ]
    print_plain(tables, how)
