"""Which tokens may follow a prefix so that the text can still become one of a form.

A form is a set L of texts. After the prefix s it allows

    A(s) = {t : s t begins a text of L}, and every end token where s is in L.

llguidance follows L along a prefix; what it knows of one is kept, and copied for the prefixes that are a token longer.
Tokens that add nothing to a text (control tokens) are never allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system.errors import CellError
from ..base import Vocabulary, spelled
from ..bytes.least_recent import LeastRecent
from .constraint import Constraint, llguidance

Mask = NDArray[np.bool_]
MOST_PREFIXES = 4096  # that are kept
_NOTHING_FOLLOWS = "NoExtensionBias"  # llguidance's word for an empty mask


class Form:
    """A form over the tokens of one vocabulary. The answer depends on the prefix alone, not on what was asked before.

    >>> from tokenauction_cli.lm.table import TableVocabulary
    >>> vocabulary = TableVocabulary([{"*": {"a": 0.5, "b": 0.5}}], separator="")
    >>> form = Form(Constraint("regex", "ab|b"), vocabulary)
    >>> form.allowed(()).tolist(), form.allowed((0,)).tolist(), form.allowed((0, 1)).tolist()
    ([True, True, False], [False, True, False], [False, False, True])
    """

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._llguidance = package = llguidance()
        self._ends = sorted(vocabulary.ends)
        tokenizer = package.LLTokenizer(package.TokenizerWrapper(_Pieces(vocabulary)), n_vocab=vocabulary.size)
        self._start = package.LLMatcher(tokenizer, constraint.grammar, log_level=0)
        self._kept: LeastRecent[tuple[int, ...], Any] = LeastRecent(MOST_PREFIXES, lambda prefix, matcher: 1)
        self._bits = package.numpy.allocate_token_bitmask(1, vocabulary.size)

    def allowed(self, prefix: tuple[int, ...]) -> Mask:
        """A(prefix), (V,). Raises CellError where it is empty, and where the prefix itself begins no text of the form.

        Empty: no text of the form can be spelled in this vocabulary from here on.
        """
        matcher = self._after(prefix)
        mask = self._mask(matcher)
        if matcher.is_error() and not _is_over(matcher):
            why = matcher.get_error().splitlines()[0]
            raise CellError(f"the form cannot be followed after {self._text(prefix)!r}: {why}")
        if not mask.any():
            raise CellError(f"after {self._text(prefix)!r} the form allows none of the {len(mask):,} tokens")
        return mask

    @property
    def is_empty(self) -> bool:
        """Whether no text at all is known to have the form; False where llguidance cannot tell."""
        return not self._mask(self._start).any() and _is_over(self._start)

    def _mask(self, matcher: Any) -> Mask:
        self._llguidance.numpy.fill_next_token_bitmask(matcher, self._bits)
        mask = np.unpackbits(self._bits[0].view(np.uint8), count=self.vocabulary.size, bitorder="little").astype(bool)
        mask[self._ends] = matcher.is_accepting()
        return mask

    def _after(self, prefix: tuple[int, ...]) -> Any:
        """What llguidance knows of a prefix, from the longest beginning that is kept."""
        n = len(prefix)
        while n and self._kept.get(prefix[:n]) is None:
            n -= 1
        matcher: Any = self._kept.get(prefix[:n]) if n else self._start
        if n < len(prefix):
            matcher = matcher.deep_copy()
            if not matcher.consume_tokens(list(prefix[n:])):
                raise CellError(f"no text of the form begins with {self._text(prefix)!r}")
            self._kept.put(prefix, matcher)
        return matcher

    def _text(self, prefix: tuple[int, ...]) -> str:
        return spelled(self.vocabulary, prefix).decode("utf-8", "replace")


def _is_over(matcher: Any) -> bool:
    """Whether it has stopped because nothing may follow, not for an error."""
    return bool(matcher.get_error().startswith(_NOTHING_FOLLOWS))


class _Pieces:
    """A vocabulary as llguidance asks for it. Nothing is forced, so that it never asks how a text is tokenised."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = [vocabulary.piece(token) for token in range(vocabulary.size)]
        self.eos_token_id = min(vocabulary.ends)
        self.special_token_ids = sorted(vocabulary.ends)

    def __call__(self, text: str) -> list[int]:
        raise NotImplementedError
