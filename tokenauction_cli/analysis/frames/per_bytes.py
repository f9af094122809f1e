"""Payments per 1,000 bytes of text, the same in every alphabet: bids are per draw, and a word is more than a byte.

    revenue_per_1000_bytes.R, payment_per_1000_bytes.R.A   1000 sum of revenue.R or payment.R.A / sum of bytes

The sums go over texts, the bytes are those of the text itself in UTF-8, without a stop string. Longer texts count for
more, as they do for a seller who is paid by the length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...statistics.bootstrap import Ratio
from ...system.arrays import Array
from ..columns.columns import RATIOS

if TYPE_CHECKING:
    import pandas as pd


BYTES = 1000


def sizes_of(texts: Iterable[str]) -> Array:
    """The bytes of every text in UTF-8."""
    return np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], dtype=np.float64)


def ratio_names(columns: Iterable[str]) -> dict[str, str]:
    """The figures per 1,000 bytes that can be made of these columns, and what stands above in each."""
    amounts = {ratio.removesuffix(f"_per_{BYTES}_bytes"): ratio for ratio in RATIOS}
    parts = ((column, *column.partition(".")) for column in columns)
    return {f"{amounts[first]}.{rest}": column for column, first, _, rest in parts if first in amounts}


def parts_of_ratios(figures: pd.DataFrame, sizes: Array, groups: pd.DataFrame) -> pd.DataFrame:
    """What every text makes of the ratios of its group, as `Ratio.parts` has it: their mean is the ratio."""
    import pandas as pd

    keys = [column.to_numpy() for _, column in groups.items()]
    found = {}
    for name, column in ratio_names(figures.columns).items():
        amounts = BYTES * figures[column]
        below = amounts.notna() * sizes
        above_of, below_of = (one.groupby(keys).transform("sum") for one in (amounts, below))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = above_of / below_of
            found[name] = ratio + (amounts - ratio * below) / below.where(amounts.notna()).groupby(keys).transform(
                "mean"
            )
    return pd.DataFrame(found, index=figures.index)


def per_bytes(amounts: pd.Series, sizes: Array) -> Ratio:
    """Per 1,000 bytes; texts without the amount, to which a payment rule does not apply, are left out."""
    above = amounts.to_numpy(dtype=float)
    applies = ~np.isnan(above)
    return Ratio.of(BYTES * above[applies], sizes[applies])
