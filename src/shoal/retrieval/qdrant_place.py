"""Where a Qdrant is, and how it is reached."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from shoal.errors import ConfigError, StoreError
from shoal.retrieval.qdrant_filters import models

_TIMEOUT_S = 30


class QdrantPlace(Struct, frozen=True):
    """Where Qdrant is: a URL, the path of a folder that one process may have open, or ":memory:";
    ``key_env`` names the environment variable that has the key of a server that asks for one."""

    url: str
    key_env: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it is a server."""
        return self.url.startswith(("http://", "https://"))

    def client(self) -> Any:
        """A client of Qdrant's own.

        Raises:
            MissingExtra: it is not installed.
            ConfigError: the key is not there.
            StoreError: the folder cannot be opened.
        """
        models()
        from qdrant_client import QdrantClient

        with told(self.url):
            if self.url == ":memory:":
                return QdrantClient(self.url)
            if not self.remote:
                return QdrantClient(path=self.url)
            key = self._key()
            return QdrantClient(
                url=self.url, api_key=key, timeout=_TIMEOUT_S, check_compatibility=False
            )

    def _key(self) -> str | None:
        if self.key_env is None:
            return None
        if not (key := os.environ.get(self.key_env)):
            raise ConfigError(
                f"qdrant_key_env: the environment variable {self.key_env} is not set; "
                f"export {self.key_env}=… or leave qdrant_key_env out"
            )
        return key


Places = Callable[[str], QdrantPlace | None]  # of a collection, by name


def in_folders(name: str) -> None:
    """Vectors are in the collections' folders."""


@contextmanager
def told(where: str) -> Iterator[None]:
    """What Qdrant's client raises, as it is told to people."""
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except (ApiException, QdrantException, ValueError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split())[:500] or type(error).__name__
        raise StoreError(f"Qdrant, {where}: {said}; is it there, and is the key right?") from error
