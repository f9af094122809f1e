"""Which occurrences of a phrase count as a mention, and where they stand in the text as written."""

from __future__ import annotations

import ast
import doctest
import re
import sys
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.text import mentions
from tokenauction_cli.text.folding import folded, places
from tokenauction_cli.text.mentions import Phrases, blends_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mentions.md"


def documented() -> list[tuple[tuple[str, ...], str, int]]:
    """The examples of docs/reference/mentions.md."""
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return [(ast.literal_eval(f"({phrases},)"), ast.literal_eval(text), int(n)) for phrases, text, n in rows]


def test_the_page_has_its_examples() -> None:
    assert len(documented()) >= 10


@pytest.mark.parametrize(("phrases", "text", "count"), documented())
def test_documented_examples(phrases: tuple[str, ...], text: str, count: int) -> None:
    assert Phrases(phrases).count(text) == count


def test_the_sessions_of_docstring_and_page() -> None:
    assert doctest.testmod(mentions) == (0, 3)
    session = doctest.DocTestParser().get_doctest(re.sub("```.*", "", PAGE.read_text("utf-8")), {}, "page", None, 0)
    assert doctest.DocTestRunner().run(session) == (0, 2)


@pytest.mark.parametrize(
    ("phrases", "text", "found"),
    [
        (["Alpha Airlines"], "Fly with Alpha Airlines.", ["Alpha Airlines"]),
        (["Alpha Airlines"], "ALPHA AIRLINES, alpha airlines", ["ALPHA AIRLINES", "alpha airlines"]),
        (["Alpha"], "Alphabet, xAlpha, Alpha_1, 1Alpha", []),
        (["Alpha"], "(Alpha) 'Alpha' Alpha's Alpha-Beta", ["Alpha"] * 4),
        (["Alpha"], "", []),
        (["Alpha", "Alpha Airlines"], "Alpha Airlines and Alpha", ["Alpha Airlines", "Alpha"]),
        (["Alpha", "Alpha Air"], "Alpha Airlines", ["Alpha"]),  # the longer one is part of a word
        (["Alpha", "Alpha Air"], "Alpha Airlines, hé", ["Alpha"]),
        (["Alpha Airlines", "Airlines"], "Alpha Airlines", ["Alpha Airlines"]),  # occurrences do not overlap
        (["Beta", "Beta Resort by Beta"], "Beta Resort by Beta", ["Beta Resort by Beta"]),
        (["a a"], "a a a", ["a a"]),
        (["C++", "$5.00"], "C++ costs $5.00, not $5x00", ["C++", "$5.00"]),  # no regular expressions
        (["Zürich"], "ZÜRICH zürich Zürichs", ["ZÜRICH", "zürich"]),
        (["日本"], "日本 日本語", ["日本", "日本"]),
        (["希尔顿", "Hilton"], "我住希尔顿和Hilton。", ["希尔顿", "Hilton"]),
        (["Hilton"], "HiltonとXHilton、Hilton2泊", ["Hilton"]),  # Latin letters and digits are still words
        (["ツアー"], "ツアーへ、ﾂｱｰ", ["ツアー"]),  # half-width letters are others
        (["Art"], "アートArtー", ["Art"]),  # ー belongs to the kana by Script_Extensions alone
        (["東京"], "東京都 in東京", ["東京", "東京"]),
        (["서울"], "서울에서 대서울", ["서울", "서울"]),
        (["กรุงเทพ"], "ไปกรุงเทพมหานคร", ["กรุงเทพ"]),
        (["ວຽງຈັນ"], "ໄປວຽງຈັນແລ້ວ", ["ວຽງຈັນ"]),
        (["ភ្នំពេញ"], "នៅភ្នំពេញ។", ["ភ្នំពេញ"]),
        (["ရန်ကုန်"], "ရန်ကုန်မြို့", ["ရန်ကုန်"]),
        (["राम"], "राम रामायण रामा", ["राम"]),  # Devanagari has spaces; a vowel sign makes another word
        (["محمد"], "محمدٌ محمدي", ["محمد"]),  # a vowel point does not
        (["😀"], "😀😀 x😀", ["😀", "😀"]),
        (["☀"], "☀\ufe0f", ["☀"]),
        (["Art"], "Art\u0301ist", []),  # t and a mark that have no composed form
        (["Müller"], "Der Mu\u0308ller, MÜLLER", ["Mu\u0308ller", "MÜLLER"]),
        (["Mu\u0308ller"], "Der Müller", ["Müller"]),
        (["straße"], "STRASSE, Straße!", ["STRASSE", "Straße"]),
        (["ab"], "ﬃ ab ﬁ ab", ["ab", "ab"]),  # one letter before it is three when folded
        (["Σίσυφος"], "ΣΊΣΥΦΟΣ", ["ΣΊΣΥΦΟΣ"]),
        (["İstanbul"], "istanbul ISTANBUL İSTANBUL i\u0307stanbul", ["istanbul", "ISTANBUL", "İSTANBUL", "i̇stanbul"]),
        (["ışık"], "IŞIK", ["IŞIK"]),
        (["McDonald's"], "McDonald’s McDonaldʼs McDonald‘s", ["McDonald’s", "McDonaldʼs", "McDonald‘s"]),
        (["McDonald’s"], "McDonald's", ["McDonald's"]),
        (["Alpha"], "Alphaʼs", ["Alpha"]),
        (['the "A" team'], "the “A” team, the „A“ team", ["the “A” team", "the „A“ team"]),
        (["e-mail"], "e‐mail e–mail", ["e‐mail", "e–mail"]),
        (["Alpha Airlines"], "Alpha  Airlines Alpha\r\nAirlines", ["Alpha  Airlines", "Alpha\r\nAirlines"]),
        (["Alpha  Airlines"], "Alpha\u00a0Airlines Alpha\u3000Airlines", ["Alpha\xa0Airlines", "Alpha\u3000Airlines"]),
    ],
)
def test_mentions(phrases: list[str], text: str, found: list[str]) -> None:
    one = Phrases(phrases)
    assert [text[start:end] for start, end in one.mention_spans(text)] == found
    assert one.count(text) == len(found)


LETTERS = st.text("abAB_1 .-ßéİıÉ\u0301\u0308日本ーカ\u3099한은กุ’'ﬁ\nᾳΐ", max_size=12)
PHRASES = st.lists(LETTERS.filter(str.strip).map(str.strip), min_size=1, max_size=3)


@given(phrases=st.lists(st.text("abAB_1.-", min_size=1, max_size=4), min_size=1, max_size=3), text=st.text("abAB_1.- "))
def test_ascii_as_by_words_of_unicode(phrases: list[str], text: str) -> None:
    """Also beside a letter of another script, where each edge is looked at alone."""
    longest_first = "|".join(map(re.escape, sorted(phrases, key=len, reverse=True)))
    plain = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)", re.IGNORECASE)
    expected = [match.span() for match in plain.finditer(text)]
    assert Phrases(phrases).mention_spans(text) == expected
    assert Phrases(phrases).mention_spans(f"{text} é") == expected


@given(phrases=PHRASES, text=LETTERS)
def test_spans_are_of_the_text_as_written(phrases: list[str], text: str) -> None:
    spans = Phrases(phrases).mention_spans(text)
    known = {" ".join(folded(phrase).text.split()) for phrase in phrases}
    for start, end in spans:
        assert " ".join(folded(text[start:end]).text.split()) in known
    assert all(one.end <= other.start for one, other in pairwise(spans))


@given(text=LETTERS | st.text())
def test_each_folded_letter_has_its_place(text: str) -> None:
    """Folding letter by letter is folding the whole; where letters stand in place, places say the same."""
    whole, at = folded(text), places(text)
    assert len(at) == len(whole.text)
    if whole.is_in_place:
        assert at == [(k, k + 1) for k in range(len(text))]


@given(phrases=PHRASES, text=LETTERS)
def test_one_count_for_all_spellings(phrases: list[str], text: str) -> None:
    count = Phrases(phrases).count(text)
    assert Phrases(phrases).count(normalize("NFD", text)) == count
    assert Phrases([normalize("NFD", phrase) for phrase in phrases]).count(text) == count
    composed = [normalize("NFC", phrase) for phrase in phrases]  # an accent after ᾳ would be the capital Ι's
    assert Phrases([phrase.upper() for phrase in composed]).count(text) == count


def test_what_is_equal_in_any_case_stays_so() -> None:
    """Of single letters, as Python's own matching in any case has it."""
    equal = re.compile(r"(.)\1", re.IGNORECASE | re.DOTALL).fullmatch
    for letter in map(chr, range(sys.maxunicode + 1)):
        for other in {letter.lower(), letter.upper(), letter.title()} - {letter}:
            if len(other) == 1 and equal(letter + other):
                assert folded(letter).text == folded(other).text, (letter, other)


def test_blends() -> None:
    blends = blends_of([["Alpha Airlines", "Alpha"], ["Beta Resort", "Gamma Beach Resort"]])
    text = "Alpha Resort, beta airlines, Alpha Beach Resort, Gamma Beach Airlines; Alpha Airlines; Beta Resort; Resort"
    assert blends.count(text) == 4
    rivals = blends_of([["Stingray Resort"], ["Beta RESORT"]])  # a blend that is the other's own name is none
    assert rivals.count("Stingray Resort or Beta Resort") == 0
    assert blends_of([["One"], ["Two"]]).mention_spans("One Two") == []
