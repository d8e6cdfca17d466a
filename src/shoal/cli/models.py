"""``shoal models``: list, add, find, remove; ``models_fit`` and ``models_gate`` add theirs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath
from shoal.cli.figures import size
from shoal.cli.models_checks import check_new, entry, shown, users_of
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.cli.settings_block import append, block, take_out
from shoal.config import Config, read_config
from shoal.engines import EngineOptions, MixtureOptions
from shoal.engines.local.header import read_header
from shoal.engines.weights.endpoints import Endpoint, found_endpoints
from shoal.engines.weights.hub import chosen, digest_of, fetch, listing
from shoal.engines.weights.kept import KeptModel, KeptModels
from shoal.engines.weights.source import HubSource, read_source, shards_of
from shoal.errors import ArtifactError, ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="Models: list, add, find, see what fits here, try, remove, learn a gate.",
)

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="As callers ask for it.")]

_COLUMNS = (Column("NAME", shrinks=True), Column("ENGINE"), Column("LOCAL"), Column("SIZE", True),
            Column("WRITES", True), Column("WHERE", shrinks=True))  # fmt: skip
_BAR = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn())  # fmt: skip
_FOUND = (Column("PROGRAM"), Column("ADDRESS"), Column("MODEL", shrinks=True))


def kept_models(config: Config) -> KeptModels:
    """What was added to these settings' data folder."""
    return KeptModels(config.store.path / "models")


@app.command("list")
def list_models(
    check: Annotated[
        bool, typer.Option("--check", help="Read the files whole, and compare their digests.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """List the models that callers may ask for, and the files added for them."""
    settings = read_config(config)
    kept = kept_models(settings).all()
    wrong = {name: _wrong(model, check) for name, model in kept.items()}
    names = dict.fromkeys([*settings.models, *kept])
    if as_json:
        show_json([_told(name, settings, kept.get(name), wrong.get(name, "")) for name in names])
        return
    rows = [_row(name, settings, kept.get(name), wrong.get(name, "")) for name in names]
    if not rows:
        say(f"{config} names no model yet: `shoal models find`, `shoal models fit`.")
        return
    show_table(_COLUMNS, rows)


@app.command()
def add(
    name: ModelName,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A GGUF file, or of the Hugging Face hub OWNER/REPOSITORY[/FILE], with :Q4_K_M "
            "for one of its quantisations, and @REVISION.",
        ),
    ],
    base: Annotated[
        str, typer.Option(help="Of an adapter: the local model that it was made for.")
    ] = "",
    chat_template: Annotated[
        str, typer.Option(help="Where the file holds none: chatml, or a file (.jinja).")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Fetch a model, or take one that is here, and write it into the settings.

    Files of the hub come into the data folder, at one commit, and are compared with the hub's
    digest; what broke off goes on with the same command. A file of yours stays where it is. What a
    gateway could not load is refused.
    """
    settings = read_config(config)
    check_new(name, settings, config)
    shelf, meant = kept_models(settings), read_source(source)
    if isinstance(meant, HubSource):
        model = _from_hub(name, meant, shelf.folder)
    else:
        model = _from_file(name, meant.expanduser().absolute())
    values = entry(name, Path(model.path), base, chat_template, settings)
    home = config.absolute().parent
    text = block(name, shown(values, home), f"{model.source}, added by shoal")
    shelf.put(_with_block(model, text))  # first: what is killed here can be removed again
    append(config, text)
    say(f"{config} names it now: models.{name}, {size(model.size)}.")
    say("A running gateway takes it with: shoal reload. How fast it is here: "
        f"shoal models bench {name}")  # fmt: skip


@app.command()
def find(
    write: Annotated[
        bool, typer.Option("--add", help="Write those that are not named yet into the settings.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Look on this machine's usual ports for Ollama, vLLM, llama-server and LM Studio."""
    settings = read_config(config)
    found = asyncio.run(found_endpoints())
    if as_json:
        show_json(found)
        return
    if not found:
        say("Nobody answers on the usual ports (Ollama 11434, vLLM 8000, llama-server 8080, "
            "LM Studio 1234).")  # fmt: skip
        return
    show_table(_FOUND, [Row((one.preset, one.base_url, model))
                        for one in found for model in one.models or ("(none)",)])  # fmt: skip
    texts = _unnamed(found, settings)
    if write:
        for text in texts:
            append(config, text)
        say(f"{len(texts)} written into {config}; a running gateway takes them with: shoal reload")
    elif texts:
        say(f"For {config}, or with --add written into it:\n\n" + "\n".join(texts))


@app.command()
def remove(name: ModelName, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a model that was added out of the settings; files that were fetched for it go, too."""
    settings = read_config(config)
    shelf = kept_models(settings)
    model = shelf.get(name)
    if users := users_of(name, settings):
        raise ConfigError(f"{config}: {', '.join(users)} names it: take that out first")
    if not take_out(config, model.block) and name in settings.models:
        say(f"{config}: models.{name} was changed by hand; take it out there, then the same "
            "command removes its files.")  # fmt: skip
        return
    rest = [other for key, other in shelf.all().items() if key != name]
    if model.own and not any(file in model.files for other in rest for file in other.files):
        _delete(model, shelf.folder)
        say(f"{name}: {size(model.size)} freed.")
    shelf.forget(name)
    say(f"{config} does not name it any more; a running gateway lets it go with: shoal reload")


def _from_hub(name: str, source: HubSource, folder: Path) -> KeptModel:
    told = listing(source)
    files = chosen(source, told)
    say(f"{told.repository}/{files[0].name} at commit {told.commit[:12]}, "
        f"{size(sum(file.size for file in files))}")  # fmt: skip
    place = folder / told.repository.replace("/", "--") / told.commit[:12]
    with Progress(*_BAR, console=Console(stderr=True), transient=True) as progress:
        bars = {file: progress.add_task(file.name, total=file.size) for file in files}
        paths = fetch(told, files, place, lambda file, here: progress.update(
            bars[file], completed=here))  # fmt: skip
    source_text = f"{told.repository}/{files[0].name}@{told.commit}"
    return _kept(name, paths, source_text, told.commit, own=True)


def _from_file(name: str, path: Path) -> KeptModel:
    read_header(path)
    paths = tuple(path.parent / part for part in shards_of(path.name))
    if missing := [part for part in paths if not part.is_file()]:
        raise ArtifactError(f"{missing[0]}: this part of the model is missing")
    return _kept(name, paths, str(path), "", own=False)


def _kept(name: str, paths: Sequence[Path], source: str, revision: str, *, own: bool) -> KeptModel:
    first = paths[0].absolute()
    return KeptModel(
        name=name,
        path=str(first),
        files=tuple(str(path.absolute()) for path in paths),
        source=source,
        revision=revision,
        sha256=digest_of(first),
        size=sum(path.stat().st_size for path in paths),
        changed_at=first.stat().st_mtime,
        own=own,
    )


def _with_block(model: KeptModel, text: str) -> KeptModel:
    from msgspec.structs import replace

    return replace(model, block=text)


def _wrong(model: KeptModel, check: bool) -> str:
    if model.state or not check:
        return model.state
    same = digest_of(Path(model.path)) == model.sha256
    return "" if same else "its digest is not the one it was added with"


def _told(name: str, settings: Config, kept: KeptModel | None, wrong: str) -> dict[str, object]:
    options = settings.models.get(name)
    stated = options.model_dump(mode="json", exclude_unset=True) if options else None
    return {"name": name, "settings": stated, "kept": kept, "wrong": wrong}


def _row(name: str, settings: Config, kept: KeptModel | None, wrong: str) -> Row:
    options = settings.models.get(name)
    where = kept.source if kept else _where(options)
    return Row(
        (
            name,
            options.engine if options else "not in the settings",
            "yes" if getattr(options, "local", True) else "no",
            size(kept.size) if kept else "",
            f"{kept.speed.writing:.1f} tokens/s" if kept and kept.speed else "",
            where,
        ),
        note=wrong,
    )


def _where(options: EngineOptions | None) -> str:
    """Where a model is that nobody added."""
    if isinstance(options, MixtureOptions):
        return ", ".join(options.of)
    return str(getattr(options, "path", None) or getattr(options, "base_url", "") or "")


def _unnamed(found: list[Endpoint], settings: Config) -> list[str]:
    """A block for each model that the settings do not name at all."""
    return [
        block(model, {"engine": "remote", "preset": one.preset}, f"{one.preset} on this machine")
        for one in found
        for model in one.models
        if model not in settings.models
    ]


def _delete(model: KeptModel, folder: Path) -> None:
    """The fetched files, and their folder where nothing else is in it."""
    for file in model.files:
        Path(file).unlink(missing_ok=True)
    place, folder = Path(model.files[0]).parent, folder.absolute()
    while place.is_dir() and place != folder and place.is_relative_to(folder):
        if any(place.iterdir()):
            return
        place.rmdir()
        place = place.parent
