"""Sessions and form tokens."""

import pytest

from service.console.sessions import SESSION_SECONDS, Signer
from service.domain.ids import Micros

NOW = Micros(1_795_428_000_000_000)
signer = Signer(b"k" * 32)


def test_a_session_names_its_key_until_it_expires() -> None:
    token = signer.session("AbCd1234", NOW)
    session = signer.read_session(token, NOW)
    assert session is not None
    assert session.key_id == "AbCd1234"
    last = Micros(NOW + (SESSION_SECONDS - 1) * 1_000_000)
    assert signer.read_session(token, last) is not None
    assert signer.read_session(token, Micros(last + 1_000_000)) is None


def test_no_changed_byte_of_a_token_is_accepted() -> None:
    token = signer.session("AbCd1234", NOW)
    for place in range(len(token)):
        other = "B" if token[place] != "B" else "C"
        # The last of 43 base64 digits has two unused bits; the text is compared, so even they must not change.
        assert signer.read_session(token[:place] + other + token[place + 1 :], NOW) is None


@pytest.mark.parametrize("token", [None, "", "....", "s.k.x.n.s", "x" * 10_000, "s.k.99999999999999.n." + "é" * 43])
def test_nonsense_is_no_session(token: str | None) -> None:
    assert signer.read_session(token, NOW) is None


def test_a_visitor_is_not_signed_in() -> None:
    visitor = signer.visitor(NOW)
    assert signer.is_visitor(visitor, NOW)
    assert signer.read_session(visitor, NOW) is None
    assert not signer.is_visitor(signer.session("AbCd1234", NOW), NOW)


def test_another_key_reads_nothing() -> None:
    assert Signer(b"l" * 32).read_session(signer.session("AbCd1234", NOW), NOW) is None


def test_a_form_fits_one_cookie_only() -> None:
    mine, other = signer.session("AbCd1234", NOW), signer.session("AbCd1234", NOW)
    assert mine != other
    assert signer.form_matches(mine, signer.form_token(mine))
    assert not signer.form_matches(other, signer.form_token(mine))
    assert not signer.form_matches(mine, "é")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes, not 31"):
        Signer(b"k" * 31)
