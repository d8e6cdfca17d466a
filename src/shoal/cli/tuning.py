"""``shoal collections tune``: search of a collection, made better by known answers."""

from typing import Annotated

import typer
from rich.console import Console

from shoal.assembly.approved import approved
from shoal.assembly.kept_reranker import clear
from shoal.assembly.reranker_training import tune_reranker
from shoal.cli.call_file import CallFile, open_source
from shoal.cli.certificates import REFUSED
from shoal.cli.collections import Name, app, opened
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, open_store
from shoal.cli.judging import judgements
from shoal.cli.printing import say, warn
from shoal.config import Config, read_config
from shoal.encoder import Encoder
from shoal.errors import CallFileError, MalformedRequest, NotFound
from shoal.retrieval.collection import Collection
from shoal.retrieval.gain import NoGain
from shoal.retrieval.known_answers import KnownAnswer, known_answer, resolved
from shoal.retrieval.tuned import FOLDER, RERANKER, standings, withdraw
from shoal.retrieval.tuning import alone, passages_of
from shoal.retrieval.tuning import tune as tuned

_SHOWN = 10  # bad lines
Pair = tuple[KnownAnswer, frozenset[int]]


@app.command()
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
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Train a reranker of close hits, not an adapter.")
    ] = False,
    feedback: Annotated[
        bool, typer.Option(help="Learn from what people called right of its answers, too.")
    ] = True,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Have a model say which passages answer recorded questions, too."
        ),
    ] = None,
    most: Annotated[
        int,
        typer.Option(
            min=1, max=5_000, help="With --judge: questions, of ten passages at most each."
        ),
    ] = 100,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that cannot be used.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show what is proven, and stop.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take back what was learned; with --rerank only that.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Learn from questions with known answers, and use that if it is proven to search better.

    They come from FILE and from feedback: answers of `shoal/ask:NAME` that people called right.
    With --judge they come from a model, too, which is told passages and may err. Part of the
    questions is held back to test it. Every attempt spends from the collection's error budget.
    Exit status 2 if it is refused; what was proven earlier then stays.
    """
    settings = read_config(config)
    with opened(settings, name, Encoder(threads=2)) as found:
        if drop:
            _drop(found, (RERANKER,) if rerank else (FOLDER, RERANKER))
            return
        if show:
            _show(found)
            return
        pairs = _from_file(found, file, skip_bad) if file else []
        if feedback:
            pairs += _from_feedback(settings, found)
        known = resolved(pairs)
        if judge:
            known += judgements(settings, found, judge, known, most)
        if not known:
            say(
                f"{name}: nothing to learn from; no FILE is given, and no answer was called right. "
                "Give questions with their passages as FILE, or call answers right (POST "
                "/shoal/feedback)."
            )
            raise typer.Exit(REFUSED)
        with Console(stderr=True).status(f"Training and testing on {len(known):,} questions …"):
            outcome = tune_reranker(found, known) if rerank else tuned(found, known)
        lapsed = [one for one in standings(found.folder, found.shelf.encoder) if one.lapsed]
    say(outcome.describe())
    for one in lapsed:
        say(f"Lapsed: {one.describe()}.")
    if isinstance(outcome, NoGain):
        raise typer.Exit(REFUSED)


def _drop(found: Collection, folders: tuple[str, ...]) -> None:
    with alone(found):
        was_there = [withdraw(found.folder / one) for one in folders]
        clear(found.folder / RERANKER)
    say(f"{found.name}: {'searched as before again' if any(was_there) else 'it was not tuned'}.")


def _show(found: Collection) -> None:
    there = standings(found.folder, found.shelf.encoder)
    if not there:
        say(f"{found.name} is not tuned: `shoal collections tune {found.name} FILE`.")
        raise typer.Exit(REFUSED)
    for one in there:
        say(one.proof.describe())
        if one.lapsed:
            say(f"Not used: {one.lapsed}. Tune the collection again.")


def _from_feedback(settings: Config, found: Collection) -> list[Pair]:
    """What people called right, told of in a line."""
    with open_store(settings) as store:
        heard = approved(store, found, settings.privacy)
    left_out = heard.uncited + heard.gone
    more = f" ({left_out:,} more cite nothing that is in the collection)" if left_out else ""
    questions = len(resolved(heard.known))
    say(f"From feedback: {questions:,} questions of {heard.calls - left_out:,} calls{more}.")
    return heard.known


def _from_file(found: Collection, file: str, skip_bad: bool) -> list[Pair]:
    with open_source(file) as source:
        pairs = _known(found, source, skip_bad)
    say(f"From {file}: {len(resolved(pairs)):,} questions.")
    return pairs


def _known(found: Collection, source: CallFile, skip_bad: bool) -> list[Pair]:
    """Every line of the file, with its right passages."""
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
    return good
