"""Where the weights of a model come from: a file here, or a repository of the Hugging Face hub."""

import os
import re
from pathlib import Path

from msgspec import Struct

from shoal.errors import ConfigError

_HUB_URL = re.compile(r"https?://(?:huggingface\.co|hf\.co)/")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_EXPECTED = "expected a GGUF file, or OWNER/REPOSITORY[/FILE][:QUANTISATION][@REVISION] of the hub"


class HubSource(Struct, frozen=True):
    """A repository of the hub. ``file`` names one of its files, or ``quantisation`` says which,
    like "Q4_K_M"; ``revision`` is a branch, a tag or a commit."""

    repository: str
    file: str = ""
    quantisation: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        place = "/".join(filter(None, (self.repository, self.file)))
        kind = f":{self.quantisation}" if self.quantisation else ""
        return f"{place}{kind}@{self.revision}"


Source = Path | HubSource


def read_source(text: str) -> Source:
    """The source that a person named. What is there as a file is that file.

    >>> read_source("ibm-granite/granite-4.0-micro-GGUF:Q4_K_M")
    HubSource(repository='ibm-granite/granite-4.0-micro-GGUF', file='', quantisation='Q4_K_M', \
revision='main')

    Raises:
        ConfigError: it names neither a file nor a repository.
    """
    if "\0" not in text and os.path.exists(text):
        return Path(text)
    if text.startswith((".", os.sep, "~")):
        raise ConfigError(f"{text}: no such file")
    place, _, revision = _HUB_URL.sub("", text).removeprefix("hf.co/").partition("@")
    place, _, quantisation = place.partition(":")
    parts = place.split("/")
    repository, file = "/".join(parts[:2]), "/".join(parts[2:])
    if file.startswith(("resolve/", "blob/")):  # as a browser shows it
        _, revision, file = file.split("/", 2) if file.count("/") > 1 else ("", "", "")
    bad_file = ".." in file.split("/") or (file and not file.lower().endswith(".gguf"))
    if not _REPOSITORY.fullmatch(repository) or bad_file or (quantisation and file):
        raise ConfigError(f"{text}: no such file, and no such name on the hub; {_EXPECTED}")
    return HubSource(repository, file, quantisation, revision or "main")


def quantisation_of(file: str) -> str:
    """What a file's name says of how its weights are written, in capitals; "" if nothing.

    >>> quantisation_of("granite-4.0-micro-Q4_K_M.gguf")
    'Q4_K_M'
    """
    stem = _SHARD.sub("", Path(file).name).removesuffix(".gguf")
    found = re.findall(r"(?:IQ|TQ|Q)\d_[A-Z0-9_]+|BF16|F16|F32|MXFP4", stem.upper())
    return str(found[-1]) if found else ""


def shards_of(file: str) -> list[str]:
    """The names of all parts of a model that is cut into several files; else the name alone."""
    match = _SHARD.search(file)
    if match is None:
        return [file]
    count, stem = int(match[2]), file[: match.start()]
    return [f"{stem}-{part:05}-of-{count:05}.gguf" for part in range(1, count + 1)]
