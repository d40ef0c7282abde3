"""The process that draws rows from the log: a job on its standard input, rows on its standard output."""

import sys

import msgspec

from service.domain.errors import LazarettoError
from service.domain.ids import Micros, VersionId
from service.domain.reports import Reports
from service.domain.schema import Schema
from service.log import LogRefused, open_reader
from service.reports.draw import Span, draw


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to draw. The address of the log may hold a password, so that it stands on no command line."""

    log_url: str
    version_id: int
    schema: Schema
    reports: Reports
    from_us: int
    to_us: int


def main() -> int:
    """Draw; return the exit code."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    span = Span(from_us=Micros(job.from_us), to_us=Micros(job.to_us))
    try:
        log = open_reader(job.log_url)
        try:
            pair = draw(log, VersionId(job.version_id), job.schema, job.reports, span)
        finally:
            log.close()
    except (LazarettoError, LogRefused) as error:
        print(f"the rows cannot be drawn: {error}", file=sys.stderr)  # noqa: T201 - to the process that asked
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(pair))
    return 0


if __name__ == "__main__":
    sys.exit(main())
