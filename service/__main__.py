"""``python -m service`` is ``lazaretto``."""

from service.cli import main

if __name__ == "__main__":
    main()
