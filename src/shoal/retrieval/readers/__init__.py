"""Files of many kinds to ``Content``: what a file is, is told by its bytes, then by its name.

Kinds whose parsers a hostile file might crash, hang or bloat (PDF, office files, HTML, e-mail) are
opened in a process of its own, which is ended and started again when a file is at fault.
"""

from shoal.retrieval.readers.kinds import SUPPORTED, kind_of
from shoal.retrieval.readers.reader import Reader, ReadOptions, read
from shoal.retrieval.readers.wanted import is_wanted

__all__ = ["SUPPORTED", "ReadOptions", "Reader", "is_wanted", "kind_of", "read"]
