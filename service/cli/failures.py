"""Failures that the command line tells in a sentence."""

import httpx

from service.channel_settings import SecretMissing
from service.domain.errors import LazarettoError
from service.log.errors import LogRefused
from service.settings import SecretKeyError, SettingsFileError
from service.store.errors import StoreRefused


class Failure(Exception):
    """Something a command cannot do, told to a person."""


EXPECTED = (
    Failure,
    LazarettoError,
    LogRefused,
    SecretKeyError,
    SecretMissing,
    SettingsFileError,
    StoreRefused,
    httpx.HTTPError,
    httpx.InvalidURL,
    OSError,
)


def sentence(error: BaseException) -> str:
    """Return what happened, with every bad place."""
    if not isinstance(error, LazarettoError):
        return str(error) or type(error).__name__
    places = "".join(f"\n  {place.at}: {place.reason}" for place in error.places)
    return f"{error.detail}{places}"
