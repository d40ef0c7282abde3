"""Rows of a reference, where a policy lets them be kept: by default there are none."""

import msgspec

from service.domain.reports import Reports
from service.domain.schema import Schema
from service.frames import Frame
from service.reports.samples import Reservoir

KEPT = "kept"
"""Code of the warning that says so."""


def kept_rows(schema: Schema, frame: Frame, reports: Reports) -> tuple[bytes, tuple[dict[str, str], ...]]:
    """Return the rows to keep, packed, and the warning that they are kept."""
    if not reports.reference_rows:
        return b"", ()
    reservoir = Reservoir(schema, reports, reports.reference_rows)
    reservoir.add(frame, 0)
    sample = reservoir.sample(0, 0, cut=False)
    number = f"{sample.rows} rows of {len(sample.columns)} columns"
    text = f"{number} are kept, encrypted, for reports (reports.reference_rows)"
    return msgspec.msgpack.encode(sample), ({"column": "", "code": KEPT, "text": text},)
