"""What names the parts of a page for readers of screens."""

import re


def lost_names(page: str) -> list[str]:
    """Return the ids that something on a page is named by, and that nothing on it, or more than one thing, has."""
    ids = re.findall(r'\sid="([^"]+)"', page)
    wanted = [name for names in re.findall(r'\saria-labelledby="([^"]*)"', page) for name in names.split() or [""]]
    assert wanted, "the page has parts, and each has a name"
    return [name for name in wanted if ids.count(name) != 1]
