"""Has a model of ``shoal.toml`` judge the passages of a collection."""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from shoal.assembly import Commission, Purse
from shoal.assembly.passage_judging import Judged, check_judge, judge, recorded_questions
from shoal.cli.context import open_store
from shoal.cli.printing import say
from shoal.cli.reloading import budgets_of, regime_of
from shoal.config import Config
from shoal.retrieval.collection import Collection
from shoal.retrieval.known_answers import Resolved
from shoal.retrieval.options import CollectionOptions
from shoal.storage import Store


def judgements(
    config: Config, found: Collection, model: str, known: Sequence[Resolved], most: int
) -> list[Resolved]:
    """What the model says of the newest recorded questions that are not ``known``, told of in a
    line.

    Raises:
        UnknownModel: there is no such model.
        ConfigError: it may not be told the passages.
        EngineError: it could not answer.
    """
    with open_store(config) as store:
        asked = recorded_questions(store, found.name, most, known)
        with Console(stderr=True).status(f"{model} judges passages of {len(asked):,} questions …"):
            said = asyncio.run(_judged(config, store, found, model, asked))
    left_out = f"{said.unclear:,} unclear, {said.withheld:,} withheld by the privacy rules"
    say(f"Judged by {model}: {len(said.known):,} of {said.asked:,} questions ({left_out}).")
    return said.known


async def _judged(
    config: Config, store: Store, found: Collection, model: str, asked: Sequence[str]
) -> Judged:
    regime = regime_of(config)
    own = config.collections.get(found.name, CollectionOptions())
    try:
        check_judge(regime.models.get(model), found.name, own)
        async with Purse(budgets_of(config, store), config.gateway.assumed_output) as purse:
            asking = Commission(store, regime, purse, None)
            try:
                return await judge(asking, model, found, asked)
            finally:
                asking.close()
    finally:
        await regime.models.aclose()
