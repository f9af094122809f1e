"""The types of arrays, by what they hold; a docstring says the shape, as in (n, V)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
