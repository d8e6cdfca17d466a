"""What a plan may call, with what is known of it beforehand: the same for the checker, the planner
and the person who writes one. What policy or a key's grants withhold is not in it."""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from shoal.tools.tool import Json, ToolSpec


class TaskOffer(Struct, frozen=True, kw_only=True):
    """A task: the slots of its input, the JSON Schema of what it gives, and what an answer costs at
    most, in USD; None if nobody knows. ``certified`` says that a specialist serves it."""

    name: str
    description: str = ""
    slots: tuple[str, ...] = ()
    gives: Mapping[str, Json] = MappingProxyType({"type": "string"})
    cost: float | None = None
    certified: bool = False


class ModelOffer(Struct, frozen=True, kw_only=True):
    """A model: prices in USD per token of input and output; None if nobody knows. ``spared``: a
    certified specialist, or the cache, may answer in its place, at no cost."""

    name: str
    description: str = ""
    input_price: float | None = None
    output_price: float | None = None
    spared: bool = False


class CollectionOffer(Struct, frozen=True, kw_only=True):
    """A collection of documents."""

    name: str
    description: str = ""


class Catalogue(Struct, frozen=True, kw_only=True):
    """All of it, by name. ``withheld`` are names there are, but not for who asks."""

    tasks: Mapping[str, TaskOffer] = MappingProxyType({})
    models: Mapping[str, ModelOffer] = MappingProxyType({})
    tools: Mapping[str, ToolSpec] = MappingProxyType({})
    collections: Mapping[str, CollectionOffer] = MappingProxyType({})
    withheld: frozenset[str] = frozenset()
