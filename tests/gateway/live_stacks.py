"""A gateway with files and vector stores, over an encoder that hashes words."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from fake_keys import FakeKeys
from live import FakeDesk, running_gateway
from numpy.typing import NDArray

from shoal.assembly.library import Library
from shoal.assembly.stacks import Stacks
from shoal.retrieval.uploads import MOST_TOTAL, Uploads
from tiny_encoder import TinyEncoder


class GatedEncoder(TinyEncoder):
    """Encodes the passages of files only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if threading.current_thread().name == "shoal-attaching":
            self.gate.wait(20)
        return super().encode(texts)


class Place:
    """Where the gateway is, and what it is made of."""

    def __init__(self, url: str, stacks: Stacks, library: Library, encoder: GatedEncoder) -> None:
        self.url, self.base_url = url, f"{url}/v1"
        self.stacks, self.library, self.encoder = stacks, library, encoder


def new_stacks(
    folder: Path, encoder: TinyEncoder, most_bytes: int = 3_000_000, most_total: int = MOST_TOTAL
) -> tuple[Stacks, Library]:
    library = Library(folder / "collections", lambda: encoder)
    uploads = Uploads(folder / "files", most_bytes, most_total)
    return Stacks(library, uploads, lambda: encoder), library


@asynccontextmanager
async def running_stacks(
    folder: Path, keys: FakeKeys | None = None, most_total: int = MOST_TOTAL, **options: object
) -> AsyncIterator[Place]:
    encoder = GatedEncoder()
    stacks, library = new_stacks(folder, encoder, most_total=most_total)
    stacks.open()
    try:
        async with running_gateway(FakeDesk(), keys, stores=stacks, **options) as url:
            yield Place(url, stacks, library, encoder)
    finally:
        encoder.gate.set()
        stacks.close()
