"""Which file a path leads to, so that one that comes in place of another is noticed."""

from pathlib import Path

Identity = tuple[int, int]


def identity_of(path: Path) -> Identity | None:
    """Device and inode; None if there is no file. While a file is open no other has the same."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
