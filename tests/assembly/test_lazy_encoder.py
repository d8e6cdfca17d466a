"""The encoder of a process: one for specialists, embeddings and collections."""

import asyncio
import threading
from pathlib import Path

import pytest

from shoal.assembly import lazy_encoder
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.library import Library
from shoal.assembly.loader import Loader
from shoal.assembly.local_encoder import LocalEncoder
from shoal.errors import ArtifactError, EncoderMissing
from shoal.specialists.card import Card
from shoal.storage import Store
from shoal.tasks.contract import LabelContract
from tiny_encoder import TinyEncoder


class Counted(TinyEncoder):
    """Counts how often it is built."""

    built = 0

    def __init__(self, callers: int = 1) -> None:
        super().__init__()
        Counted.built += 1
        assert callers == 3  # nobody waits for another's batch


class Missing:
    """Has no weights; counts how often they are sought."""

    sought = 0

    def __init__(self, callers: int = 1) -> None:
        Missing.sought += 1
        raise ArtifactError("no weights")


def card_of() -> Card:
    return Card(
        id="c",
        task="t",
        kind="label",
        recipe="",
        contract=LabelContract(("a", "b")),
        llm="",
        encoder="0" * 64,
        artifact="",
        examples=0,
        agreement=0.0,
        data_digest="",
        trained_at=0.0,
        cpu_seconds=0.0,
    )


async def test_all_share_one(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_encoder, "Encoder", Counted)
    monkeypatch.setattr(Counted, "built", 0)
    lazy = LazyEncoder()
    library, loader, local = Library(tmp_path, lazy), Loader(store, lazy), LocalEncoder(lazy)
    threads = [threading.Thread(target=lazy.built) for _ in range(4)]
    for thread in threads:
        thread.start()
    vectors, _ = await local.encode(("tide",))
    senses = await asyncio.to_thread(loader._encoder_for, card_of())
    library.create("it")
    for thread in threads:
        thread.join()
    assert Counted.built == 1
    assert vectors.shape == (1, 24)
    assert senses is not None
    assert senses.digest == lazy().digest
    local.close()
    library.close()


async def test_weights_are_sought_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_encoder, "Encoder", Missing)
    monkeypatch.setattr(Missing, "sought", 0)
    lazy = LazyEncoder()
    local, loader = LocalEncoder(lazy), Loader(store, lazy)
    for _ in range(2):
        with pytest.raises(EncoderMissing, match="shoal/encoder cannot answer: no weights"):
            await local.encode(("tide",))
        with pytest.raises(ArtifactError, match="no weights"):
            loader._encoder_for(card_of())
        with pytest.raises(EncoderMissing, match="collections need the local encoder"):
            Library(tmp_path, lazy).create("it")
    assert Missing.sought == 1
    local.close()
