"""The stacks: what callers of the API keep here, uploaded files and collections made of them."""

import logging
from collections.abc import Callable

from shoal.assembly.attaching import Attaching
from shoal.assembly.library import Library
from shoal.assembly.store_files import StoreFiles
from shoal.assembly.upload_desk import UploadDesk
from shoal.assembly.vector_stores import VectorStores
from shoal.errors import ShoalError
from shoal.retrieval.intake import Encodes
from shoal.retrieval.uploads import Uploads

log = logging.getLogger(__name__)


class Stacks:
    """The desks that the gateway asks: ``stores``, their ``files``, and ``uploads``. What waits to
    be attached is attached, once they are open."""

    def __init__(self, library: Library, uploads: Uploads, encoder: Callable[[], Encodes]) -> None:
        """``encoder`` is the one that ``library`` asks for too."""
        attaching = Attaching(library, uploads, encoder)
        self.files = StoreFiles(library, uploads, attaching)
        self.stores = VectorStores(library, uploads, self.files)
        self.uploads = UploadDesk(uploads, self.files)
        self._library, self._uploads, self._attaching = library, uploads, attaching

    def open(self) -> None:
        """Begin, which throws away what is left of earlier times."""
        try:
            self._library.sweep()
            self._uploads.sweep()
            self.uploads.tidy()
        except (ShoalError, OSError) as error:  # callers are told when they ask; the rest works
            log.warning("uploaded files: %s", error)
        self._attaching.wake()

    def close(self) -> None:
        """End soon; what still waits to be attached waits for the next time."""
        self._attaching.close()
        self._library.close()
