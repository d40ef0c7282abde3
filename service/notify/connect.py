"""Outgoing connections that go to public addresses, or to networks that the operator allows, and nowhere else.

A name is looked up, every address that it may not reach is left out, and after connecting the address of the peer is
checked again: whatever a name server answers the second time, nothing is sent to a forbidden address. No redirects, and
no proxies from the environment.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore
import httpx

ADDRESSES_MAX = 8
"""Tried of one name."""
Network = IPv4Network | IPv6Network
NAT64 = IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """An address that may not be connected to."""


def refusal(address: str, allow: Iterable[Network]) -> str | None:
    """Return why an address may not be connected to, or ``None``.

    An address within another one (IPv4 in IPv6, by mapping or translation) counts as what it stands for.
    """
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return f"'{address[:60]}' is no address"
    ip = _inner(ip)
    if any(ip.version == network.version and ip in network for network in allow):
        return None
    named = (
        (ip.is_unspecified, "unspecified"),
        (ip.is_loopback, "a loopback"),
        (ip.is_link_local, "a link-local"),  # the metadata services of clouds among them
        (ip.is_multicast, "a multicast"),
        (ip.is_private, "a private"),
        (ip.is_reserved or not ip.is_global, "a reserved"),
    )
    for applies, kind in named:
        if applies:
            return f"{ip} is {kind} address; notifications.allow may list its network"
    return None


def resolve(host: str, port: int, allow: Sequence[Network]) -> list[tuple[socket.AddressFamily, str]]:
    """Look a name up and return the addresses that may be connected to.

    Raises
    ------
    Refused
        When none of them may be.
    OSError
        When there is no such name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _allowed(host, [(family, str(address[0])) for family, _, _, _, address in found], allow)


def check_peer(sock: socket.socket, allow: Iterable[Network]) -> None:
    """Raise ``Refused`` when a socket is connected to where it may not be."""
    why = refusal(str(sock.getpeername()[0]), allow)
    if why is not None:
        raise Refused(why)


def _allowed(
    host: str, found: Sequence[tuple[socket.AddressFamily, str]], allow: Sequence[Network]
) -> list[tuple[socket.AddressFamily, str]]:
    reasons = [(family, address, refusal(address, allow)) for family, address in dict.fromkeys(found)]
    good = [(family, address) for family, address, why in reasons if why is None]
    if not good:
        why = next((why for _, _, why in reasons if why is not None), "it has no address")
        raise Refused(f"{host[:100]}: {why}")
    return good[:ADDRESSES_MAX]


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip.sixtofour is not None:
            return ip.sixtofour
        if ip in NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects where it may, and checks where it has arrived before a single byte is sent."""

    def __init__(self, allow: Sequence[Network]) -> None:
        self._allow = allow
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = _allowed(host, [(family, str(to[0])) for family, _, _, _, to in found], self._allow)
        except (OSError, Refused) as error:
            raise httpcore.ConnectError(str(error)) from error
        last: Exception = httpcore.ConnectError(f"{host}: no address answers")
        for _, address in addresses:
            try:
                stream = await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            peer = stream.get_extra_info("server_addr")
            why = refusal(str(peer[0]) if peer else "", self._allow)
            if why is None:
                return stream
            await stream.aclose()
            last = httpcore.ConnectError(f"{host}: {why}")
        raise last

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refuse: an address of a channel never means a file."""
        raise httpcore.ConnectError("sockets in files are not supported")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """HTTP over guarded connections."""

    def __init__(self, allow: Sequence[Network], verify: ssl.SSLContext | None = None) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or httpx.create_ssl_context(trust_env=False),
            max_connections=16,
            max_keepalive_connections=2,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(allow),
        )
