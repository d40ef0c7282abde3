"""Doubles of the services that receive, over real connections or in memory."""

import socket
import threading
from dataclasses import dataclass, field
from io import BufferedRWPair
from typing import Self

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
        self,
        refuse: dict[str, str] | None = None,
        silent: str = "",
        greeting: str = "220 double",
        mailboxes: dict[str, list[str]] | None = None,
    ) -> None:
        self.refuse, self.silent, self.greeting = refuse or {}, silent, greeting
        self.mailboxes = mailboxes or {}
        """Address to what is answered for it, one after the other; then it takes everything."""
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
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
        stream, mail = connection.makefile("rwb"), Mail("", [], b"")
        _say(stream, self.greeting)
        while line := stream.readline(2_000):
            text = line.decode(errors="replace").strip()
            verb = text.split(" ")[0].upper()
            self.commands.append(text)
            if verb == self.silent:
                stream.readline()  # waits for the other side to give up
                return
            answers = self.mailboxes.get(_address(text), [])
            if verb in self.refuse:
                _say(stream, self.refuse[verb])
            elif verb == "RCPT" and answers:
                _say(stream, answers.pop(0))
            elif verb == "DATA":
                _say(stream, "354 go on")
                while (row := stream.readline()) not in {b".\r\n", b""}:
                    mail.content += row[1:] if row.startswith(b"..") else row
                self.mails.append(mail)
                _say(stream, "250 taken")
            elif verb == "QUIT":
                _say(stream, "221 bye")
                return
            else:
                self._note(verb, text, mail)
                _say(stream, "250 ok")

    def _note(self, verb: str, text: str, mail: Mail) -> None:
        address = _address(text)
        if verb == "MAIL":
            mail.sender = address
        elif verb == "RCPT":
            mail.recipients.append(address)


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


def _say(stream: BufferedRWPair, text: str) -> None:
    stream.write(text.encode() + b"\r\n")
    stream.flush()
