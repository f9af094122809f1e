"""The vocabulary of a GGUF file: text to tokens, tokens to bytes, which tokens end a text."""

from __future__ import annotations

import ctypes
import hashlib
import re
from functools import cached_property

import llama_cpp


class GgufVocabulary:
    """Reads the vocabulary of a loaded llama.cpp model (weights not needed)."""

    joiner = b""

    def __init__(self, model: llama_cpp.llama_model_p) -> None:
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self.size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._pieces: dict[tuple[int, bool], bytes] = {}

    @property
    def exists(self) -> bool:
        """False for a GGUF file without a tokenizer, with which no text can be made."""
        return self.size > 0 and llama_cpp.llama_vocab_type(self._vocab) != llama_cpp.LLAMA_VOCAB_TYPE_NONE

    @cached_property
    def ends(self) -> frozenset[int]:
        """Every end-of-generation token: each is auctioned as itself, and any one ends the text."""
        return frozenset(t for t in range(self.size) if llama_cpp.llama_vocab_is_eog(self._vocab, t))

    def piece(self, token: int, control: bool = False) -> bytes:
        """The bytes of one token; those of control and end tokens only when asked for."""
        known = self._pieces.get((token, control))
        if known is None and token in self.ends and not control:
            known = self._pieces[token, control] = b""
        if known is None:
            room = 64
            while True:
                buffer = ctypes.create_string_buffer(room)
                n_bytes = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, control)
                if n_bytes >= 0:
                    break
                room = -n_bytes
            known = self._pieces[token, control] = buffer.raw[:n_bytes]
        return known

    def name(self, token: int) -> str:
        return self.piece(token, control=True).decode("utf-8", "backslashreplace")

    def tokenize(self, text: str, *, control: bool) -> list[int]:
        """The tokens of a text; `control` says whether the names of special tokens in it mean these tokens."""
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 8
        while True:
            tokens = (llama_cpp.llama_token * room)()
            n = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, room, False, control)
            if n >= 0:
                return list(tokens[:n])
            room = -n

    @cached_property
    def first_token(self) -> int | None:
        """The token with which every text of this vocabulary begins, where its file asks for one."""
        return llama_cpp.llama_vocab_bos(self._vocab) if llama_cpp.llama_vocab_get_add_bos(self._vocab) else None

    def text_of_special(self, which: str) -> str:
        """The text of the `bos` or `eos` token, '' where there is none."""
        token = getattr(llama_cpp, f"llama_vocab_{which}")(self._vocab)
        return "" if token < 0 else self.name(token)

    def is_control(self, token: int) -> bool:
        """Whether it steers, as the end of a turn does, instead of standing for words."""
        return bool(llama_cpp.llama_vocab_get_attr(self._vocab, token) & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL)

    @cached_property
    def control_names(self) -> re.Pattern[str]:
        """Matches the name of any control token inside a text, the longest there is."""
        control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        names = {self.name(t) for t in range(self.size) if llama_cpp.llama_vocab_get_attr(self._vocab, t) & control} - {
            ""
        }
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        return re.compile("|".join(map(re.escape, longest_first)) if names else "(?!)")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every token's text, kind and role: equal digests speak over the same tokens."""
        state = hashlib.sha256(f"{llama_cpp.llama_vocab_type(self._vocab)} {sorted(self.ends)}".encode())
        for token in range(self.size):
            state.update(llama_cpp.llama_vocab_get_text(self._vocab, token) or b"")
            state.update(b"\0%d\0" % llama_cpp.llama_vocab_get_attr(self._vocab, token))
        return state.hexdigest()

    def read_all(self) -> None:
        """Read everything that a plan may ask for: where llama.cpp cannot bear it, it shall be here."""
        for name in ("digest", "control_names", "first_token"):
            getattr(self, name)
        for which in ("bos", "eos"):
            self.text_of_special(which)
        for token in range(self.size):
            self.piece(token)
        self.tokenize("A line of text.\n \u00e9\u4e16\U0001f600", control=True)
