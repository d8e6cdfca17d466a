"""A GGUF on its way to the disk: whole under its name, or not there at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import gguf

from shoal.errors import ArtifactError


@contextlib.contextmanager
def writing(path: Path, family: str) -> Iterator[gguf.GGUFWriter]:
    """A writer to be filled; when the block ends, the file is written beside ``path`` and renamed.

    Raises:
        ArtifactError: the system refuses (a full disk, …). What stood under the name still does.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    writer = gguf.GGUFWriter(fresh, family)
    try:
        yield writer
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        for file in writer.fout or ():
            file.flush()
            os.fsync(file.fileno())
        writer.close()
        fresh.replace(path)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be written: {error.strerror or error}; nothing was left half-made"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what is left to be flushed has no room either
            writer.close()
        fresh.unlink(missing_ok=True)
