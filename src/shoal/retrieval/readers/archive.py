"""What ZIP files (office documents, EPUB) unpack to, before anyone unpacks them in earnest."""

import io
import zipfile
import zlib

from shoal.errors import ReadError

MOST_ENTRIES = 20_000
_STEP = 1 << 20  # bytes


def check_archive(data: bytes, most: int) -> None:
    """Raise ``ReadError`` if the archive is damaged, encrypted, or unpacks to over ``most`` bytes:
    by what its directory says and, as that may lie, by unpacking it a little at a time."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise ReadError(f"has {len(entries):,} parts; at most {MOST_ENTRIES:,} are taken")
            if any(entry.flag_bits & 1 for entry in entries):
                raise ReadError("is encrypted with a password; save it without one")
            _bound(sum(entry.file_size for entry in entries), most)
            total = 0
            for entry in entries:
                total += _unpacked(archive, entry, most - total, most)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise ReadError(f"is damaged: {error}") from error


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int, most: int) -> int:
    """How many bytes there really are; what the directory says is not asked again."""
    entry.file_size = left + _STEP
    total = 0
    with archive.open(entry) as stream:
        while part := stream.read(_STEP):
            total += len(part)
            if total > left:
                _bound(most + 1, most)
    return total


def _bound(found: int, most: int) -> None:
    if found > most:
        raise ReadError(f"unpacks to over {most / 1e6:,.0f} MB; it may be a ZIP bomb")
