"""What people may write: names that a path can carry, and texts that every store, log and terminal can hold."""

from service.domain.errors import Place

NAME_LENGTH_MAX = 128
TEXT_LENGTH_MAX = 2_000
NAME_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
"""What is safe in a path, a header and a metric's label alike."""
CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) - frozenset("\t\n\r")
"""They move a terminal's cursor, end a log's line, and PostgreSQL keeps no NUL."""


def bad_name(at: str, name: str) -> list[Place]:
    """Return what is wrong with a name, if anything."""
    if not 0 < len(name) <= NAME_LENGTH_MAX:
        return [Place(at, f"must have 1 to {NAME_LENGTH_MAX} characters, has {len(name)}")]
    if not set(name) <= NAME_SIGNS or name[0] in ".-":
        return [Place(at, "may have letters, digits, '.', '_' and '-', and must not start with '.' or '-'")]
    return []


def bad_text(at: str, text: str, least: int = 0, most: int = TEXT_LENGTH_MAX) -> list[Place]:
    """Return what is wrong with a text, if anything."""
    length = len(text) if len(text) > most else len(text.strip())
    if not least <= length <= most:
        return [Place(at, f"must have {least} to {most} characters, has {length}")]
    if not CONTROLS.isdisjoint(text):
        return [Place(at, "has a control character")]
    return []
