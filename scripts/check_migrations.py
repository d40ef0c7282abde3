"""Compare the tables in the code with those that the migrations make (``alembic check``), on a throw-away store."""

import sys
import tempfile
from pathlib import Path

from alembic.util import CommandError

from service.store.migrate import differences, upgrade


def main() -> int:
    """Return 0 when they are the same."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'state.db'}"
        upgrade(url)
        try:
            differences(url)
        except CommandError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
