import base64
import json
from urllib.parse import quote

import pytest

from blueprints.veil import HIDDEN, Veil


def test_a_secret_is_taken_out_wherever_it_stands():
    assert Veil(["hunter2"])("hunter2, and x=hunter2!") == "***, and x=***!"


def test_without_secrets_the_text_is_the_same_object():
    text = "nothing to hide"
    assert Veil()(text) is text


@pytest.mark.parametrize(
    "spell",
    [repr, json.dumps, quote, lambda s: quote(s, safe=""), lambda s: base64.b64encode(s.encode()).decode()],
)
def test_a_secret_is_found_in_every_usual_spelling(spell):
    secret = "s3cret 'with' \"quotes\"\\ & ümlaut/+"
    told = Veil([secret])(f"said {spell(secret)} so")
    assert HIDDEN in told
    assert "quotes" not in told


def test_what_follows_a_scheme_is_a_secret_by_itself():
    veil = Veil(["Bearer abc123def456"])
    assert veil("Authorization: Bearer abc123def456") == "Authorization: ***"
    assert veil("no such token: abc123def456") == "no such token: ***"
    assert Veil(["Basic " + base64.b64encode(b"me:pass-word").decode()])("wrong pass-word") == "wrong ***"


def test_each_long_line_of_a_key_file_is_a_secret_by_itself():
    veil = Veil(["-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----\n"])
    assert veil("line 2: MIIEvQIBADANBg") == "line 2: ***"
    assert veil("a short line") == "a short line"


def test_the_longer_of_two_secrets_goes_as_a_whole():
    assert Veil(["abcd", "abcdefgh"])("abcdefgh abcd") == "*** ***"


def test_what_is_too_short_to_guard_anything_stays():
    assert Veil(["a", "", "  ", "dev"])("a dev of data") == "a dev of data"


def test_bytes_that_are_not_utf8_come_back_as_they_were():
    veil = Veil(["schlüssel"])
    assert veil.over_bytes(b"\xff " + "schlüssel".encode() + b" \xfe") == b"\xff *** \xfe"
    assert Veil().over_bytes(b"\xff") == b"\xff"


def test_a_veil_shows_no_secret_itself():
    assert repr(Veil(["hunter2"])) == "<Veil over 1>"
