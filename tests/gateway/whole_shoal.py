"""The whole of Shoal behind a gateway: a store, callers' keys, privacy rules, real engines."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fake_keys import FakeKeys
from live import running_gateway

from shoal.assembly import Models, Purse, Shoal
from shoal.assembly.regime import Regime
from shoal.engines import EngineOptions
from shoal.routing.budget import Budgets
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import CallRecord, Store, StoreOptions


class Place:
    """A gateway's address, its store, and keys for callers."""

    def __init__(self, url: str, store: Store, keys: FakeKeys) -> None:
        self.url, self.store, self._keys = url, store, keys

    def key(self, **spec: object) -> str:
        return self._keys.add(**spec).key  # type: ignore[arg-type]

    def calls(self) -> list[CallRecord]:
        """Newest first, once all that was submitted is written."""
        self.store.writer.submit(lambda conn: None, urgent=True).result(5)
        return self.store.calls.list()


@asynccontextmanager
async def whole_shoal(
    folder: Path, models: Mapping[str, EngineOptions], **rules: object
) -> AsyncIterator[Place]:
    keys, options = FakeKeys(), PrivacyOptions.model_validate(rules)
    with Store.open(StoreOptions(path=folder / "data")) as store:
        purse = Purse(Budgets(store.spend.between, {}), 100)
        regime = Regime(Models.open(models), {}, PromiseOptions(), options)
        async with (
            purse,
            Shoal(store, regime, purse=purse) as desk,
            running_gateway(desk, keys) as url,
        ):
            yield Place(url, store, keys)
