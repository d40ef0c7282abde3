"""Failures that the command line tells in a sentence. What raises them is imported only once something has failed."""


class Failure(Exception):
    """Something a command cannot do, told to a person."""


def expected() -> tuple[type[Exception], ...]:
    """Return what a person is told in a sentence: all that is the fault of an input, a setting or a machine."""
    import httpx
    from pydantic import ValidationError

    from service.channel_settings import SecretMissing
    from service.domain.errors import LazarettoError
    from service.log.errors import LogRefused
    from service.settings import SecretKeyError, SettingsFileError
    from service.store.errors import StoreRefused

    return (
        Failure,
        LazarettoError,
        LogRefused,
        SecretKeyError,
        SecretMissing,
        SettingsFileError,
        StoreRefused,
        ValidationError,
        httpx.HTTPError,
        httpx.InvalidURL,
        OSError,
    )


def sentences(error: BaseException) -> list[str]:
    """Return what happened, with every bad place."""
    from pydantic import ValidationError

    from service.domain.errors import LazarettoError

    if isinstance(error, ValidationError):
        return [f"setting '{'.'.join(map(str, one['loc']))}': {one['msg']}" for one in error.errors()]
    if not isinstance(error, LazarettoError):
        return [str(error) or type(error).__name__]
    places = "".join(f"\n  {place.at}: {place.reason}" for place in error.places)
    return [f"{error.detail}{places}"]
