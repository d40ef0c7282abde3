"""Whom the red team may attack: this machine, and what a person has signed off for a time."""

import ipaddress
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from urllib.parse import urlsplit

from redteam.problems import Problem, Refused

FIELDS = {"host", "owner", "valid_until", "signed_off_by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One target that may be attacked, and who says so."""

    host: str
    """Its name or address, with ``:port`` when only that port is meant."""
    owner: str
    valid_until: datetime
    signed_off_by: str

    def covers(self, host: str, port: int | None) -> bool:
        """Tell whether a target is the one that is meant."""
        named = f"[{host}]" if ":" in host else host
        return self.host.lower() in {host, named, f"{named}:{port}"}


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: ``localhost`` or a loopback address; no name is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_scope(content: str) -> list[Permission]:
    """Read a scope file: TOML with ``[[target]]`` tables.

    Raises
    ------
    Refused
        With every bad place.
    """
    try:
        held = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Refused("the scope file is not TOML", [Problem("scope", str(error))]) from None
    tables = held.pop("target", [])
    bad = [Problem(name, "is not known; a scope file holds [[target]] tables") for name in held]
    if not isinstance(tables, list) or not tables:
        bad.append(Problem("target", "must be at least one [[target]] table"))
        tables = []
    found = [_permission(table, f"target[{i}]", bad) for i, table in enumerate(tables)]
    if bad:
        raise Refused("the scope file authorises nothing", bad)
    return [one for one in found if one is not None]


def _permission(table: object, at: str, bad: list[Problem]) -> Permission | None:
    if not isinstance(table, dict):
        bad.append(Problem(at, "must be a table"))
        return None
    before = len(bad)
    bad += [Problem(f"{at}.{name}", "is not known") for name in sorted(table.keys() - FIELDS)]
    texts = {}
    for name in ("host", "owner", "signed_off_by"):
        text = table.get(name)
        if not isinstance(text, str) or not text.strip():
            bad.append(Problem(f"{at}.{name}", "must be a text: a scope without it is not signed off"))
        else:
            texts[name] = text.strip()
    until = _moment(table.get("valid_until"))
    if until is None:
        bad.append(Problem(f"{at}.valid_until", "must be a date or a time with a zone, such as 2027-01-31"))
    if len(bad) > before or until is None:
        return None
    return Permission(valid_until=until, **texts)


def _moment(value: object) -> datetime | None:
    """Return a moment; a date means its end, UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if isinstance(value, date):
        return datetime.combine(value, time.max, UTC)
    return None


def refuse_strangers(urls: Iterable[tuple[str, str]], permissions: Iterable[Permission], now: datetime) -> None:
    """Raise ``Refused`` unless every target, a pair (where it stands, URL), is this machine or signed off now."""
    allowed = list(permissions)
    bad = []
    for at, url in urls:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            host = port = None
        if not host or port is None:
            bad.append(Problem(at, f"'{url}' is not an http or https URL"))
            continue
        covering = [one for one in allowed if one.covers(host, port)]
        if is_loopback(host) or any(now <= one.valid_until for one in covering):
            continue
        if covering:
            until = max(one.valid_until for one in covering)
            bad.append(Problem(at, f"the permission for {host} ended {until.isoformat()}"))
        else:
            bad.append(Problem(at, f"{host} is not this machine, and no scope file authorises it (--scope FILE)"))
    if bad:
        raise Refused("a target may not be attacked", bad)
