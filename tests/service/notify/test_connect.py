"""Outgoing connections: public addresses, or what the operator allows, whatever a name server says."""

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.notify.connect import GuardedTransport, Network, Refused, refusal, resolve
from service.notify.http import client

LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "no address",
        "",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, ()) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_public_is_not(address: str) -> None:
    assert refusal(address, ()) is None


def test_a_network_that_is_allowed_is_no_more() -> None:
    assert refusal("10.1.2.3", [ip_network("10.1.0.0/16")]) is None
    assert refusal("::ffff:10.1.2.3", [ip_network("10.1.0.0/16")]) is None
    assert refusal("10.2.2.3", [ip_network("10.1.0.0/16")]) is not None


@given(st.ip_addresses())
def test_every_address_has_an_answer(address: Any) -> None:
    said = refusal(str(address), ())
    assert said is None or isinstance(said, str)
    if said is None:
        assert address.is_global or (
            address.version == 6 and (address.ipv4_mapped or address.sixtofour or "64:ff9b" in str(address))
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    httpd = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
    httpd.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def post(url: str, allow: tuple[Network, ...]) -> int:
    async def work() -> int:
        async with client(GuardedTransport(allow)) as session:
            return (await session.post(url, content=b"{}")).status_code

    return asyncio.run(work())


def test_an_allowed_address_is_connected_to(server: Any) -> None:
    assert post(f"http://localhost:{server.server_port}/hook", LOCAL) == 200
    assert server.seen == ["/hook"]


def test_a_refused_one_gets_not_a_byte(server: Any) -> None:
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(httpx.ConnectError, match="loopback"):
            post(f"http://{host}:{server.server_port}/hook", ())
    assert server.seen == []


def test_a_name_that_leads_elsewhere_when_it_is_asked_again_is_found_out_after_connecting(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the looked-up address passes, and the connection arrives at a forbidden peer all the same."""
    real = socket.getaddrinfo

    def lie(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host == "rebind.example.org":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]
        return real("127.0.0.1" if host == "93.184.216.34" else host, port, *rest, **more)

    from httpcore import AnyIOBackend

    connect = AnyIOBackend.connect_tcp

    async def elsewhere(self: Any, host: str, *rest: Any, **more: Any) -> Any:
        return await connect(self, "127.0.0.1" if host == "93.184.216.34" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    monkeypatch.setattr(AnyIOBackend, "connect_tcp", elsewhere)
    with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1 is a loopback"):
        post(f"http://rebind.example.org:{server.server_port}/hook", ())
    assert server.seen == []


def test_a_proxy_of_the_environment_is_not_used(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert post(f"http://127.0.0.1:{server.server_port}/x", LOCAL) == 200


def test_a_name_with_no_public_address_is_refused_with_the_reason() -> None:
    with pytest.raises(Refused, match=r"localhost: .* is a loopback address"):
        resolve("localhost", 25, ())
