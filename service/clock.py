"""The real clock. Everything else takes a ``Clock``, so that tests can hold time still."""

import time

from service.domain.ids import Micros


class SystemClock:
    """Wall-clock time."""

    def now_us(self) -> Micros:
        """Return microseconds since 1970-01-01 UTC."""
        return Micros(time.time_ns() // 1_000)  # noqa: TID251 - the one place that asks the machine
