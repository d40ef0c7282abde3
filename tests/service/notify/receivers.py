"""Doubles of the services that receive, over real connections or in memory."""

import socket
import ssl
import threading
from dataclasses import dataclass, field

import httpx


def answer(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> httpx.Response:
    """Return an answer that is yet to be read, as a real one is."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


@dataclass
class Receiver:
    """Answers every request with one status, and remembers what came."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b'{"status":"success"}'
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return answer(self.status, self.content, self.headers)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


@dataclass
class Mail:
    """What a server was handed."""

    sender: str
    recipients: list[str]
    content: bytes


class MailServer:
    """A small SMTP server in a thread: takes mail, or answers one command with a refusal, or not at all."""

    def __init__(
        self, refuse: dict[str, str] | None = None, silent: str = "", context: ssl.SSLContext | None = None
    ) -> None:
        self.refuse, self.silent, self.context = refuse or {}, silent, context
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "MailServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            try:
                self._talk(connection)
            except OSError:
                pass
            finally:
                self.ended.set()
                connection.close()

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")

        def say(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 double")
        mail = Mail("", [], b"")
        while line := stream.readline(2_000):
            text = line.decode(errors="replace").strip()
            verb = text.split(" ")[0].upper()
            self.commands.append(text)
            if verb == self.silent:
                stream.readline()  # waits for the other side to give up
                return
            if verb in self.refuse:
                say(self.refuse[verb])
            elif verb == "EHLO":
                say("250-double")
                say("250-AUTH PLAIN")
                say("250 STARTTLS" if self.context else "250 8BITMIME")
            elif verb == "STARTTLS" and self.context:
                say("220 go on")
                stream.close()
                connection = self.context.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rwb")
            elif verb == "MAIL":
                mail = Mail(text.partition("<")[2].partition(">")[0], [], b"")
                say("250 ok")
            elif verb == "RCPT":
                mail.recipients.append(text.partition("<")[2].partition(">")[0])
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                while (row := stream.readline()) not in {b".\r\n", b""}:
                    mail.content += row[1:] if row.startswith(b"..") else row
                self.mails.append(mail)
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("235 ok" if verb == "AUTH" else "250 ok")
