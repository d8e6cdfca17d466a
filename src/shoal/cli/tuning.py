"""``shoal collections tune``: search of a collection, made better by known answers."""

from typing import Annotated

import typer
from rich.console import Console

from shoal.cli.call_file import CallFile, open_source
from shoal.cli.certificates import REFUSED
from shoal.cli.collections import Name, opened
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath
from shoal.cli.printing import say, warn
from shoal.config import read_config
from shoal.encoder import Encoder
from shoal.errors import CallFileError, MalformedRequest, NotFound
from shoal.retrieval.collection import Collection
from shoal.retrieval.gain import NoGain
from shoal.retrieval.known_answers import Resolved, known_answer, resolved
from shoal.retrieval.tuned import FOLDER, certificate_in, withdraw
from shoal.retrieval.tuning import passages_of
from shoal.retrieval.tuning import tune as tuned

_SHOWN = 10  # bad lines


def tune(
    name: Name,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help='JSON lines: "question" and "passage" (its text), or "document" and "quote". '
            '"-": standard input.',
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that cannot be used.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take back what was learned.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Learn from questions with known answers, and use that if it is proven to search better.

    Part of the questions is held back to test it. Every attempt spends from the collection's error
    budget. Without FILE it shows the certificate. Exit status 2 if there is none, or it is refused;
    an earlier one then stays.
    """
    with opened(read_config(config), name, Encoder(threads=2)) as found:
        if drop:
            was_there = withdraw(found.folder / FOLDER)
            say(f"{name}: {'searched as before again' if was_there else 'it was not tuned'}.")
            return
        if file is None:
            _show(found)
            return
        with open_source(file) as source:
            known = _known(found, source, skip_bad)
        with Console(stderr=True).status(f"Training and testing on {len(known):,} questions …"):
            outcome = tuned(found, known)
    say(outcome.describe())
    if isinstance(outcome, NoGain):
        raise typer.Exit(REFUSED)


def _show(found: Collection) -> None:
    proof = certificate_in(found.folder / FOLDER)
    if proof is None:
        say(f"{found.name} is not tuned: `shoal collections tune {found.name} FILE`.")
        raise typer.Exit(REFUSED)
    say(proof.describe())
    if proof.encoder != found.shelf.encoder:
        say("Not used: it is for another encoder. Tune the collection again.")


def _known(found: Collection, source: CallFile, skip_bad: bool) -> list[Resolved]:
    """Every question of the file once, with its right passages."""
    passages, good, bad = passages_of(found), [], list[str]()
    for place, line in source.lines():
        try:
            one = known_answer(line)
            good.append((one, passages.right(one)))
        except (MalformedRequest, NotFound) as error:
            bad.append(f"{place}: {error}")
    if bad and not skip_bad:
        more = f" (and {len(bad) - 1:,} more lines)" if len(bad) > 1 else ""
        raise CallFileError(f"{bad[0]}{more}; nothing was learned, --skip-bad leaves them out")
    for reason in bad[:_SHOWN]:
        warn(reason)
    if len(bad) > _SHOWN:
        warn(f"… and {len(bad) - _SHOWN:,} more lines")
    return resolved(good)
