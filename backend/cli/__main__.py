"""``python -m backend.cli`` is `flattr`."""

from backend.cli import main

if __name__ == "__main__":
    main()
