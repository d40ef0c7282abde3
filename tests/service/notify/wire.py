"""What RFC 5322, 2045 to 2047 and Standard Webhooks ask of a mail and of the headers of a webhook, as checkers."""

import base64
import email
import email.policy
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime

LINE_MAX = 998
"""RFC 5322, 2.1.1: bytes of a line without its end."""
HEADER_NAME = re.compile(rb"[\x21-\x39\x3b-\x7e]+")
"""RFC 5322, 2.2: printable signs without the colon."""
ENCODED_WORD = re.compile(r"=\?[!->@-~]+\?[BbQq]\?[!->@-~]*\?=")
ENCODED_WORD_MAX = 75
"""RFC 2047, 2."""
ONCE = frozenset({"date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "subject"})
"""RFC 5322, 3.6: not more often than once."""
OURS = frozenset({
    "subject", "from", "to", "date", "message-id", "auto-submitted", "x-lazaretto-kind", "content-type",
    "content-transfer-encoding", "mime-version",
})  # fmt: skip
MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""Control characters, and signs that nobody sees or that turn the direction."""
TIMESTAMP = re.compile(r"\d{10}")
SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
WEBHOOK_BYTES_MAX = 20_000
"""Standard Webhooks recommends payloads below 20 kB."""


def check_mail(content: bytes, *, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Raise AssertionError when a mail is none, or has a header that is not ours; return it as read."""
    content.decode("ascii")  # nothing needs an extension of the server
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content), "a line end without its other half"
    for line in content.split(b"\r\n"):
        assert len(line) <= LINE_MAX, f"a line of {len(line)} bytes"
    head, _, _ = content.partition(b"\r\n\r\n")
    names = _header_names(head)
    assert set(names) <= OURS, names
    assert {"date", "from"} <= set(names)
    assert not [name for name in ONCE if names.count(name) > 1], names
    for word in re.findall(r"=\?\S*", head.decode()):
        assert ENCODED_WORD.fullmatch(word), word
        assert len(word) <= ENCODED_WORD_MAX, word
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    for name, value in mail.items():
        assert not value.defects, (name, value.defects)
        assert not HIDDEN.search(str(value)), name
    assert getaddresses([mail["From"]]) == [("", sender)]
    assert getaddresses([mail["To"]]) == [("", address) for address in recipients]
    assert MESSAGE_ID.fullmatch(mail["Message-ID"]), mail["Message-ID"]
    assert parsedate_to_datetime(mail["Date"]).tzinfo is not None
    assert (mail.get_content_type(), mail.get_content_charset()) == ("text/plain", "utf-8")
    assert not mail.is_multipart()
    body = mail.get_content().replace("\r\n", "\n")
    assert body.strip()
    assert not HIDDEN.search(body)
    return mail


def check_signed(headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: float, late: float = 1.0) -> None:
    """Raise AssertionError when a webhook is not signed as Standard Webhooks says, with every key."""
    ident, at = headers["webhook-id"], headers["webhook-timestamp"]
    assert re.fullmatch(r"[!-~]{1,256}", ident), ident
    assert "." not in ident, "the signed content would be ambiguous"
    assert TIMESTAMP.fullmatch(at), at
    assert abs(int(at) - now) <= late, "the time of the attempt"
    assert headers["content-type"] == "application/json"
    assert len(body) <= WEBHOOK_BYTES_MAX, len(body)
    given = headers["webhook-signature"].split(" ")
    assert all(SIGNATURE.fullmatch(one) for one in given), given
    content = f"{ident}.{at}.".encode() + body
    expected = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    assert given == [f"v1,{one}" for one in expected]


def _header_names(head: bytes) -> list[str]:
    names: list[str] = []
    for line in head.split(b"\r\n"):
        if line[:1] in {b" ", b"\t"}:
            assert names, "begins with a continuation"
            assert line.strip(), "a folded line of blanks alone"
            continue
        name, colon, _ = line.partition(b":")
        assert colon, line
        assert HEADER_NAME.fullmatch(name), name
        names.append(name.decode().lower())
    return names
