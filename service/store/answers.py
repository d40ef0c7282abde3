"""The latest answers of each version, in blocks: written with the pass that changed them, read when a worker starts."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from service.domain.ids import VersionId
from service.domain.records import AnswerBlock, Snapshot
from service.store.changes import upsert
from service.store.tables_beside import answers


def read_answers(connection: Connection) -> dict[VersionId, tuple[AnswerBlock, ...]]:
    """Return the blocks of every version."""
    found: dict[VersionId, list[AnswerBlock]] = {}
    for row in connection.execute(select(answers).order_by(answers.c.version_id, answers.c.number)):
        found.setdefault(VersionId(row.version_id), []).append(AnswerBlock(number=row.number, content=row.content))
    return {version_id: tuple(blocks) for version_id, blocks in found.items()}


def save_answers(connection: Connection, snapshots: Sequence[Snapshot]) -> None:
    """Write the blocks that have changed, and delete those that are needed no more."""
    rows = [
        {"version_id": one.version_id, "number": block.number, "content": block.content}
        for one in snapshots
        for block in one.answers
    ]
    upsert(connection, answers, rows)
    # Also where none has changed: people may want fewer answers remembered, or none.
    for one in snapshots:
        if one.answers_first:
            old = (answers.c.version_id == one.version_id) & (answers.c.number < one.answers_first)
            connection.execute(delete(answers).where(old))
