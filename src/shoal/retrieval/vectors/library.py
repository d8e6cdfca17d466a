"""faiss, loaded when vectors are first searched, and told to keep to one core."""

import logging
from typing import Any

from shoal.errors import MissingExtra


def faiss() -> Any:
    """The module; it is an extra, and takes 0.1 s to load.

    A search takes one core: others wait for the other ones, and OpenMP's threads spin while they
    wait. The setting is the calling thread's own, so ask here in every search.

    Raises ``MissingExtra`` if it is not installed.
    """
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells each build it tries
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtra("docs", "searching by meaning") from error
    module.omp_set_num_threads(1)
    return module
