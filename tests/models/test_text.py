"""Text from a server, made safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flora_async import errors
from flora_async._text import printable
from flora_async.errors import FieldError

# A line feed, a terminal's escape, an override of the direction, an invisible mark, half a character.
HOSTILE = "a\nb\x1b[31m\u202ec\ufeff\ud800" * 100
ERRORS = [
    errors.APIStatusError(HOSTILE, status=500, code=HOSTILE, fields=[FieldError(HOSTILE, HOSTILE)], request_id=HOSTILE),
    errors.DecodeError(HOSTILE, HOSTILE, request_id=HOSTILE),
    errors.UntrustedURLError(HOSTILE, HOSTILE),
    errors.DownloadError(HOSTILE, HOSTILE),
    errors.APIConnectionError(HOSTILE),
]


@given(st.text(), st.integers(1, 300))
def test_whatever_the_text_it_is_one_short_printable_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.replace("\u200d", "").replace("\u200c", "").isprintable()
    shown.encode()


@pytest.mark.parametrize("text", ["", "Größe 5 €", "日本語", "👩\u200d🎨 paints", "क्\u200dष"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_shows_text_of_a_server_in_printable_characters_only(error: errors.FloraError) -> None:
    attributes = [value for name, value in vars(error).items() if name in {"message", "code", "path", "reason"}]
    attributes += [text for field in vars(error).get("fields", ()) for text in field]
    for shown in (str(error), repr(error), *attributes):
        assert shown.isprintable()
    for shown in (str(error), *attributes):
        assert len(shown) <= 200
