"""E-mail over SMTP, in threads of its own: the library for it waits."""

import asyncio
import smtplib
import socket
import ssl
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from threading import Lock

from service.channel_settings import EmailSettings
from service.domain.notices import Payload, payload_of
from service.domain.records import Message
from service.notify.connect import Network, Refused, check_peer, resolve
from service.notify.texts import headline, lines, one_line
from service.ports_notify import DeliveryFailed

WIRE = SMTP.clone(max_line_length=76)
"""So that no encoded word has more than the 75 characters of RFC 2047."""
TIMEOUT_SECONDS = 10.0
SUBJECT_MAX, DESCRIPTION_MAX, VALUE_MAX, ALERTS_MAX = 200, 2_000, 500, 20
DETAIL_MAX = 200
GREETING = 220
PERMANENT = 500
CLOSING = 421
CHANNEL_CODES = frozenset({530, 534, 535, 538})
"""Refusals of what a mail says that every other message would get as well."""
REMEMBERED_MAX = 1_000
"""Messages of which it is known who has them already."""


Refusals = Mapping[str, tuple[int, bytes]]
"""Recipient to code and text."""


class EmailChannel:
    """Sends each message to all recipients at once.

    Parameters
    ----------
    name
        Of the channel.
    settings
        The server, the sender and the recipients.
    password
        Of the user, or ``None`` without one.
    allow
        Networks that are not public and may be connected to.
    context
        Checks the server's certificate; by default that of the system.
    """

    def __init__(
        self,
        name: str,
        settings: EmailSettings,
        password: str | None,
        allow: Sequence[Network],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._settings, self._password, self._allow = settings, password, allow
        self._context = context or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(settings.at_once, thread_name_prefix=f"mail-{name}")
        self._taken: OrderedDict[str, frozenset[str]] = OrderedDict()

    async def deliver(self, message: Message) -> None:
        """Send the message to whoever does not have it; when the deadline passes, the connection is cut."""
        attempt = _Attempt()
        mail = mail_of(message, payload_of(message), self._settings)
        taken = self._taken.get(message.id, frozenset())
        left = [address for address in self._settings.recipients if address not in taken]
        try:
            send = asyncio.get_running_loop().run_in_executor(self._threads, self._send, mail, left, attempt)
            refused = await send
        except asyncio.CancelledError:
            attempt.cut()
            raise
        self._taken.pop(message.id, None)
        if refused:
            self._remember(message.id, taken | (frozenset(left) - refused.keys()))
            raise _some_refused(refused, len(self._settings.recipients))

    async def close(self) -> None:
        """Take nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remember(self, message_id: str, taken: frozenset[str]) -> None:
        """Keep in mind who has a message, so that only the others get it again; a restart forgets it."""
        self._taken[message_id] = taken
        if len(self._taken) > REMEMBERED_MAX:
            self._taken.popitem(last=False)

    def _send(self, mail: EmailMessage, recipients: list[str], attempt: "_Attempt") -> Refusals:
        """Send a mail and return who was refused; raise ``DeliveryFailed`` when that was not about recipients."""
        settings = self._settings
        try:
            with closing(self._connected(attempt)) as smtp:
                if settings.security == "starttls":
                    smtp.starttls(context=self._context)
                    attempt.watch(smtp.sock)
                if settings.username is not None and self._password is not None:
                    smtp.login(settings.username, self._password)
                refused = smtp.send_message(mail, settings.sender, recipients)
                with suppress(smtplib.SMTPException, OSError):  # the mail is taken, whatever is said afterwards
                    smtp.quit()
                return refused
        except smtplib.SMTPRecipientsRefused as error:
            # Nobody has the mail; after a 421 it was not even asked about those that are missing here.
            return {one: error.recipients.get(one, (CLOSING, b"")) for one in recipients}
        except smtplib.SMTPResponseException as error:
            raise _refusal(error) from None
        except (smtplib.SMTPException, OSError, Refused, ValueError) as error:
            raise DeliveryFailed(one_line(f"{type(error).__name__}: {error}", DETAIL_MAX), recoverable=True) from None

    def _connected(self, attempt: "_Attempt") -> smtplib.SMTP:
        sock = self._connect()
        attempt.watch(sock)
        host = self._settings.host
        if self._settings.security == "tls":
            sock = self._context.wrap_socket(sock, server_hostname=host)
            attempt.watch(sock)
        smtp = _Given(sock, host)
        code, said = smtp.connect(host, self._settings.port)
        if code != GREETING:
            smtp.close()
            raise smtplib.SMTPConnectError(code, said)
        return smtp

    def _connect(self) -> socket.socket:
        last: Exception = OSError("no address answers")
        for family, address in resolve(self._settings.host, self._settings.port, self._allow):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(TIMEOUT_SECONDS)
                sock.connect((address, self._settings.port))
                check_peer(sock, self._allow)
            except (OSError, Refused) as error:
                sock.close()
                last = error
            else:
                return sock
        raise last


class _Given(smtplib.SMTP):
    """SMTP over a connection that is there and checked."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self._given = sock
        super().__init__(timeout=TIMEOUT_SECONDS, local_hostname="lazaretto")
        self._host = host  # names the server in its certificate

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - as the library calls it
        return self._given


class _Attempt:
    """The connection of one delivery, so that it can be cut from outside."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sock: socket.socket | None = None
        self._is_cut = False

    def watch(self, sock: socket.socket | None) -> None:
        """Remember the connection that is used now."""
        with self._lock:
            self._sock = sock
            if self._is_cut:
                self._shut()

    def cut(self) -> None:
        """End whatever waits on the connection."""
        with self._lock:
            self._is_cut = True
            self._shut()

    def _shut(self) -> None:
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended already


def mail_of(message: Message, payload: Payload, settings: EmailSettings) -> EmailMessage:
    """Write a message as plain text: no markup is possible there, and a line end cannot begin a header."""
    mail = EmailMessage(policy=WIRE)
    title = one_line(headline(message.kind, message.severity, payload), SUBJECT_MAX)
    # What looks like an encoded word would be shown as what it stands for.
    mail["Subject"] = title.replace("=?", "= ?")
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.created_us / 1e6, UTC))
    # The same for every attempt: mail programs show what they have already as the same mail.
    mail["Message-ID"] = f"<{message.id}@lazaretto.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Lazaretto-Kind"] = message.kind
    mail.set_content(_body(message, payload))
    return mail


def _body(message: Message, payload: Payload) -> str:
    about = payload.lazaretto
    parts = [lines(about.summary, DESCRIPTION_MAX), lines(about.description, DESCRIPTION_MAX)]
    for alert in payload.alerts[:ALERTS_MAX]:
        said = {**alert.labels, **alert.annotations, "since": alert.starts_at}
        rows = [f"  {name}: {one_line(text, VALUE_MAX)}" for name, text in said.items() if name not in _SAID]
        title = one_line(alert.annotations.get("summary", ""), VALUE_MAX)
        parts.append("\n".join([f"{title} ({alert.status})", *rows]))
    if payload.external_url:
        parts.append(payload.external_url)
    parts.append(f"message {message.id}")
    return "\n\n".join(part for part in parts if part) + "\n"


_SAID = frozenset({"summary", "description"})


def _refusal(error: smtplib.SMTPResponseException) -> DeliveryFailed:
    """Only what follows the content of a mail is about this mail: every other refusal would meet the next one too.

    Somebody may mend that, and then nothing shall be lost.
    """
    code = error.smtp_code
    text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
    # A server may repeat what the login said.
    said = type(error).__name__ if isinstance(error, smtplib.SMTPAuthenticationError) else text
    final = isinstance(error, smtplib.SMTPDataError) and code >= PERMANENT and code not in CHANNEL_CODES
    return DeliveryFailed(one_line(f"the server answered {code}: {said}", DETAIL_MAX), recoverable=not final)


def _some_refused(refused: Refusals, number: int) -> DeliveryFailed:
    """Return what it means that recipients were refused: a mailbox that wants a mail later has it then.

    That is about them and not about the server, unless it refuses every one for good, as for a sender that it does not
    know: then every other message would meet the same.
    """
    codes = [code for code, _ in refused.values()]
    later = any(code < PERMANENT for code in codes)
    everyone = len(refused) == number and not later
    gone = CLOSING in codes  # the server, not a mailbox
    words = "for now" if later else "for good"
    detail = f"the server answered {max(codes)}: {len(refused)} of {number} recipients refused {words}"
    return DeliveryFailed(detail, recoverable=later or everyone, channel_fault=everyone or gone)
