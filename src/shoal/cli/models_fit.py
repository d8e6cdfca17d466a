"""``shoal models fit`` and ``shoal models bench``: what runs well here, and how fast it is."""

import asyncio
import os
import time
from statistics import median
from typing import Annotated, NamedTuple

import typer
from msgspec.structs import replace

from shoal.assembly.models import Models
from shoal.chat import Answerer, Message, Request
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath
from shoal.cli.models import ModelName, app, kept_models
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config
from shoal.engines import AdapterOptions, EngineOptions, MixtureOptions
from shoal.engines.weights.families import BITS, FAMILIES, families_called
from shoal.engines.weights.fitting import USUAL_SHARE, Fit, fits, measured_share
from shoal.engines.weights.kept import Speed
from shoal.engines.weights.machine import this_machine
from shoal.errors import ConfigError, NotFound

__all__ = ["app", "bench", "fit_models", "needed"]

_COLUMNS = (Column("MODEL", shrinks=True), Column("AS"), Column("MEMORY", True),
            Column("WRITES", True), Column("HERE"), Column("HUB", shrinks=True))  # fmt: skip
_TRIES = 3
_BRIEF = "Count."
_PROMPT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 16


@app.command("fit")
def fit_models(
    name: Annotated[
        str | None, typer.Argument(metavar="MODEL", help='Like "granite" or "phi-4".')
    ] = None,
    context: Annotated[int, typer.Option(min=256, help="Tokens of a conversation.")] = 4096,
    quantisation: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(BITS)}; repeat it.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show which open models run well on this machine: memory, and about how many tokens a second.

    Each in the finest quantisation that runs well; with MODEL in all of them. The estimate goes by
    how fast this machine reads its memory, and by models that were tried on it (`shoal models
    bench`).
    """
    families = families_called(name) if name else list(FAMILIES)
    if not families:
        raise NotFound(f"no model called {name!r} is known here; there are: "
                       + ", ".join(family.name for family in FAMILIES))  # fmt: skip
    if unknown := set(quantisation or ()) - set(BITS):
        raise ConfigError(f"--quantisation {unknown.pop()}: expected {', '.join(BITS)}")
    machine = this_machine()
    kept = kept_models(read_config(config)).all() if config.exists() else {}
    share = measured_share(kept.values(), machine)
    shown = quantisation or (list(BITS) if name else [])
    found = fits(families, machine, context, shown, share or USUAL_SHARE)
    if as_json:
        show_json({"machine": machine, "share": share, "fits": found})
        return
    show_table(_COLUMNS, [_row(one) for one in found])
    by = "models tried here" if share else "an estimate; `shoal models bench` makes it better"
    say(f"{machine.free_bytes / 1e9:.1f} GB of memory are free, {machine.cores} cores read "
        f"{machine.bandwidth / 1e9:.0f} GB/s. Speed by {by}. To take one: "
        f"shoal models add NAME HUB:AS")  # fmt: skip


@app.command()
def bench(
    name: ModelName,
    tokens: Annotated[int, typer.Option(min=8, max=4096, help="To write, each time.")] = 64,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Try how fast a local model reads and writes here; the median of three.

    It is loaded for that, beside a gateway that may have it too: bench while that is idle.
    """
    settings = read_config(config)
    speed = asyncio.run(_tried(Models.open(needed(name, settings)), name, tokens))
    shelf = kept_models(settings)
    if (model := shelf.all().get(name)) is not None:
        shelf.put(replace(model, speed=speed))
    if as_json:
        show_json(speed)
        return
    say(f"{name} reads {speed.reading:.1f} and writes {speed.writing:.1f} tokens a second here.")


class _Timed(NamedTuple):
    """Tokens read and written, and the seconds that took."""

    read: int
    written: int
    seconds: float


def needed(name: str, settings: Config) -> dict[str, EngineOptions]:
    """A model and those that it is made of, without what stands in for it: others may lack keys
    that this one can do without.

    Raises:
        NotFound: no model of this name.
        ConfigError: it is elsewhere.
    """
    if name not in settings.models:
        there = ", ".join(settings.models) or "none"
        raise NotFound(f"no model named {name!r}; the settings name: {there}")
    if not getattr(settings.models[name], "local", True):
        raise ConfigError(f"models.{name}: not a model on this machine")
    found, left = dict[str, EngineOptions](), [name]
    while left:
        one = left.pop()
        if one in found or one not in settings.models:
            continue
        options = settings.models[one]
        if isinstance(options, MixtureOptions):
            left += options.of
        elif isinstance(options, AdapterOptions):
            left.append(options.base)
        bare = {"fallback": ()} if hasattr(options, "fallback") else {}
        found[one] = options.model_copy(update=bare)
    return found


async def _tried(models: Models, name: str, tokens: int) -> Speed:
    """The medians of a few tries: of a prompt that no cache knows, and of writing a little and much
    after one that takes no time to read."""
    try:
        engine = models.get(name).engine
        await _timed(engine, _BRIEF, 1)
        read = [await _timed(engine, f"{turn} {_PROMPT}", 1) for turn in range(_TRIES)]
        short = [await _timed(engine, _BRIEF, 1) for _ in range(_TRIES)]
        long = [await _timed(engine, _BRIEF, tokens) for _ in range(_TRIES)]
    finally:
        await models.aclose()
    written = median(one.written for one in long) - median(one.written for one in short)
    took = median(one.seconds for one in long) - median(one.seconds for one in short)
    if written <= 0 or took <= 0:
        raise ConfigError("its answers are too short to time; try more --tokens")
    reading = median(one.read / one.seconds for one in read)
    return Speed(reading, written / took, os.cpu_count() or 1, time.time())


async def _timed(model: Answerer, prompt: str, tokens: int) -> _Timed:
    params = f'{{"max_tokens": {tokens}, "temperature": 0, "ignore_eos": true}}'
    request = Request(model.name, (Message("user", prompt),), params=params)
    began = time.perf_counter()
    answer = await model.answer(request)
    took = time.perf_counter() - began
    if answer.usage is None:
        raise ConfigError(f"models.{model.name}: it does not tell how many tokens it wrote")
    return _Timed(answer.usage.input_tokens, answer.usage.output_tokens, took)


def _row(one: Fit) -> Row:
    return Row(
        (
            one.family.name,
            one.quantisation,
            f"{one.size / 1e9:.1f} GB",
            f"about {one.writing:.1f} tokens/s",
            one.verdict,
            one.family.hub,
        )
    )
