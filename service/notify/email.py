"""E-mail over SMTP, in threads of its own: the library for it waits."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from threading import Lock

from service.channel_settings import EmailSettings
from service.domain.notices import FIRING, Payload, payload_of
from service.domain.records import Message
from service.notify.connect import Network, Refused, check_peer, resolve
from service.notify.texts import lines, one_line
from service.ports_notify import DeliveryFailed

TIMEOUT_SECONDS = 10.0
SUBJECT_MAX, DESCRIPTION_MAX, VALUE_MAX, ALERTS_MAX = 200, 2_000, 500, 20
DETAIL_MAX = 200
PERMANENT = 500
CHANNEL_FAULTS = (smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)
"""Refusals that every other message would get as well. Somebody may mend that, and then nothing shall be lost."""
CHANNEL_CODES = frozenset({530, 534, 535, 538})


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

    async def deliver(self, message: Message) -> None:
        """Send the message; when the caller's deadline passes, the connection is cut and its thread comes free."""
        attempt = _Attempt()
        mail = mail_of(message, payload_of(message), self._settings)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._send, mail, attempt)
        except asyncio.CancelledError:
            attempt.cut()
            raise

    async def close(self) -> None:
        """Take nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, mail: EmailMessage, attempt: "_Attempt") -> None:
        settings = self._settings
        try:
            with self._connected(attempt) as smtp:
                if settings.security == "starttls":
                    smtp.starttls(context=self._context)
                    attempt.watch(smtp.sock)
                if settings.username is not None and self._password is not None:
                    smtp.login(settings.username, self._password)
                refused = smtp.send_message(mail, settings.sender, list(settings.recipients))
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
            raise _refusal(error) from None
        except (smtplib.SMTPException, OSError, Refused, ValueError) as error:
            raise DeliveryFailed(one_line(f"{type(error).__name__}: {error}", DETAIL_MAX), recoverable=True) from None
        if refused:
            raise DeliveryFailed(f"{len(refused)} of {len(settings.recipients)} recipients refused", recoverable=False)

    def _connected(self, attempt: "_Attempt") -> smtplib.SMTP:
        sock = self._connect()
        attempt.watch(sock)
        host = self._settings.host
        if self._settings.security == "tls":
            sock = self._context.wrap_socket(sock, server_hostname=host)
            attempt.watch(sock)
        smtp = _Given(sock, host)
        smtp.connect(host, self._settings.port)
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
    about = payload.lazaretto
    word = "firing" if payload.status == FIRING else "resolved"
    mail = EmailMessage(policy=WIRE)
    mail["Subject"] = one_line(f"[{word}, {message.severity}] {about.summary or message.kind}", SUBJECT_MAX)
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


def _refusal(error: smtplib.SMTPException) -> DeliveryFailed:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        code, said = (codes[0] if codes else PERMANENT), "all recipients refused"
    elif isinstance(error, smtplib.SMTPResponseException):
        code = error.smtp_code
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        # A server may repeat what the login said.
        said = type(error).__name__ if isinstance(error, smtplib.SMTPAuthenticationError) else text
    else:
        code, said = PERMANENT, type(error).__name__
    recoverable = code < PERMANENT or code in CHANNEL_CODES or isinstance(error, CHANNEL_FAULTS)
    return DeliveryFailed(one_line(f"the server answered {code}: {said}", DETAIL_MAX), recoverable=recoverable)
