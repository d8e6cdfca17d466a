"""``shoal ask``."""

import asyncio
from typing import Annotated

import typer
from msgspec import Struct

from shoal.assembly import Purse, Shoal
from shoal.assembly.asking import PREFIX
from shoal.assembly.library import Library
from shoal.chat import Message, Request
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, open_store
from shoal.cli.printing import say, show_json
from shoal.cli.reloading import budgets_of, regime_of
from shoal.config import Config, read_config
from shoal.encoder import Encoder
from shoal.retrieval.grounding import NOT_FOUND

NOTHING = 2  # exit status


class Asked(Struct, frozen=True):
    """What was answered, why, and the call that it was recorded as."""

    answer: str
    reason: str
    call_id: str


def ask(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.")],
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Answer a question from a collection, with the places that say so.

    By the model that `\\[collections.NAME]` names, else word for word from a passage. Exit status 2
    if it is not in the documents.
    """
    told = asyncio.run(_ask(read_config(config), name, question))
    if as_json:
        show_json(told)
    else:
        say(told.answer)
    if told.answer == NOT_FOUND:
        raise typer.Exit(NOTHING)


async def _ask(config: Config, name: str, question: str) -> Asked:
    library = Library(config.collections_folder, Encoder, config.place_of)
    request = Request(f"{PREFIX}{name}", (Message("user", question),))
    with open_store(config) as store:
        async with (
            Purse(budgets_of(config, store), config.gateway.assumed_output) as purse,
            Shoal(store, regime_of(config), purse=purse, library=library) as shoal,
        ):
            handled = await shoal.serve(request, "")
            assert handled.answer is not None  # it was not asked as a stream
            receipt = await shoal.finish(handled, handled.answer, "")
            await shoal.settle()
    return Asked(handled.answer.text, receipt.reason, receipt.call_id)
