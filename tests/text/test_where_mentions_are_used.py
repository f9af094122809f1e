"""The page, the terminal and the audit's brand tokens find what `mention_spans` finds."""

from __future__ import annotations

from conftest import Reader
from rich.text import Text

from tokenauction_cli.audits.prefixes.audit import _brand_tokens
from tokenauction_cli.cli.terminal import COLOURS, highlighted
from tokenauction_cli.report.page.page_data import _marked

TEXT = "请入住Hilton酒店，或Mu\u0308ller"
TWO = """
name: two
agents:
  - {name: Hilton, distribution: {x: 1}}
  - {name: Müller, distribution: {x: 1}}
"""


def test_the_page_marks_mentions_as_written(read: Reader) -> None:
    pieces = _marked(TEXT, [agent.phrases for agent in read(TWO).agents])
    assert pieces == [["请入住", -1], ["Hilton", 0], ["酒店，或", -1], ["Mu\u0308ller", 1]]


def test_the_terminal_colours_them(read: Reader) -> None:
    spans = highlighted(Text(TEXT), read(TWO)).spans
    assert [(TEXT[one.start : one.end], one.style) for one in spans] == [
        ("Hilton", COLOURS[0]),
        ("Mu\u0308ller", COLOURS[1]),
    ]


class Pieces:
    """Tokens of two characters, spaces alone."""

    def tokenize(self, text: str, *, control: bool) -> list[int]:
        lone = text.startswith(" ")
        pairs = [text[k : k + 2] for k in range(lone, len(text), 2)]
        written = [b" "] * lone + [pair.encode() for pair in pairs]
        return [int.from_bytes(piece, "big") for piece in written]

    def piece(self, token: int) -> bytes:
        return token.to_bytes((token.bit_length() + 7) // 8, "big")


def test_a_lone_space_is_no_brand_token(read: Reader) -> None:
    vocabulary = Pieces()
    brands = _brand_tokens(read(TWO.replace("Müller", "東京")), vocabulary)
    assert {vocabulary.piece(token).decode() for token in brands["hilton"]} == {"Hi", "lt", "on"}
    (kyo,) = (tokens for agent, tokens in brands.items() if agent != "hilton")
    assert [vocabulary.piece(token).decode() for token in kyo] == ["東京"]
