"""What can go wrong inside the log; callers of ``append`` only ever see ``Unavailable`` and ``Conflict``."""


class LogRefused(Exception):
    """The log cannot be opened: it is held by another process, or of a format that this version does not know."""


class AppendFailed(Exception):
    """A group was not committed.

    Parameters
    ----------
    fatal
        True when the storage can no longer be trusted (a write or sync error), so that the log must close.
    """

    def __init__(self, detail: str, *, fatal: bool) -> None:
        super().__init__(detail)
        self.fatal = fatal
