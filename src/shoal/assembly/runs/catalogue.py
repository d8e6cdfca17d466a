"""What one run may call, with its contracts and prices, as of now."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from shoal.assembly.asking import PREFIX as ASK
from shoal.assembly.models import Model
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Post, Roster
from shoal.assembly.runs.grants import Grants, Names
from shoal.assembly.strategies import most_cost
from shoal.chat import Usage
from shoal.errors import RequestError
from shoal.planning.catalogue import Catalogue, CollectionOffer, ModelOffer, TaskOffer
from shoal.reasoning import split_name
from shoal.tasks.contract import (
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    LabelsContract,
    NumberContract,
)
from shoal.tasks.describe import explain
from shoal.tools.tool import Json, ToolSpec

T = TypeVar("T")

_MANY = 1_000  # tokens, over which what a strategy adds by itself is spread


def catalogue_of(
    regime: Regime,
    roster: Roster,
    tools: Iterable[ToolSpec],
    collections: Iterable[str],
    grants: Grants,
) -> Catalogue:
    """What there is, as far as it is granted."""
    tasks = [_task(post) for post in roster.posts.values() if _can_be_asked(post)]
    names = list(collections)
    spared = any(map(_may_serve, roster.posts.values())) or regime.cache.is_used
    models = [_model(regime.models.get(name), spared) for name in regime.models]
    models += _with_strategies(regime, grants.models or (), spared)
    models += [_asked(name) for name in names if not _costs(name, regime)]
    there = [CollectionOffer(name=name) for name in names]
    withheld = set[str]()
    return Catalogue(
        tasks=_granted({one.name: one for one in tasks}, grants.tasks, withheld),
        models=_granted({one.name: one for one in models}, grants.models, withheld),
        tools=_granted({one.name: one for one in tools}, grants.tools, withheld),
        collections=_granted({one.name: one for one in there}, grants.collections, withheld),
        withheld=frozenset(withheld),
    )


def schema_of(contract: Contract) -> dict[str, Json]:
    """The JSON Schema of what a task gives: what the text of its answer is, or holds as JSON."""
    match contract:
        case LabelContract(labels=labels):
            return {"type": "string", "enum": list(labels)}
        case LabelsContract(labels=labels):
            one: Json = {"type": "string", "enum": list(labels)}
            return {"type": "array", "items": one}
        case NumberContract():
            return {"type": "number"}
        case FieldsContract(fields=fields):
            properties: dict[str, Json] = {one.name: _field(one) for one in fields}
            required: list[Json] = [one.name for one in fields]
            return {"type": "object", "properties": properties, "required": required}
        case _:
            return {"type": "string"}


def _field(field: Field) -> Json:
    kinds: dict[str, Json] = {"boolean": "boolean", "number": "number", "spans": "array"}
    kind = kinds.get(field.kind, "string")
    if field.kind == "json":
        return {}
    told: dict[str, Json] = {"type": [kind, "null"] if field.may_miss else kind}
    if field.labels and not field.may_miss:
        told["enum"] = list(field.labels)
    return told


def _granted(offers: Mapping[str, T], names: Names, withheld: set[str]) -> dict[str, T]:
    found = {name: offer for name, offer in offers.items() if names is None or name in names}
    withheld |= offers.keys() - found.keys()
    return found


def _can_be_asked(post: Post) -> bool:
    """An agent's steps depend on all that came before; a plan has no such history to give."""
    template = post.task.templates[0]
    return not (post.task.ignored or template.continues)


def _may_serve(post: Post) -> bool:
    """Whether something certified may answer calls of a task in a model's place."""
    return post.stage == "serve" or post.agreement is not None


def _task(post: Post) -> TaskOffer:
    task = post.task
    return TaskOffer(
        name=task.name,
        description=explain(task.contract),
        slots=task.templates[0].slots,
        gives=schema_of(task.contract),
        certified=post.stage == "serve",
    )


def _asked(collection: str) -> ModelOffer:
    """The collection as a model, which answers word for word from its passages."""
    return ModelOffer(name=f"{ASK}{collection}", input_price=0.0, output_price=0.0)


def _costs(collection: str, regime: Regime) -> bool:
    """Whether a model answers from the collection: what that costs, a run would not learn of."""
    own = regime.collections.get(collection)
    return own is not None and own.model is not None


def _with_strategies(regime: Regime, names: Iterable[str], spared: bool) -> list[ModelOffer]:
    """Those of the names that are a model's with a strategy."""
    found = list[ModelOffer]()
    for name in names:
        if name in regime.models or split_name(name) is None:
            continue
        with suppress(RequestError):  # a key may name what there is not, or not any more
            found.append(replace(_model(regime.models.get(name), spared), name=name))
    return found


def _model(model: Model, spared: bool) -> ModelOffer:
    """Of one with a strategy about what it takes, for a call of it is held to what its run has left
    in any case."""
    many = 1 if model.strategy is None else _MANY
    read, written = most_cost(model, Usage(many, 0)), most_cost(model, Usage(0, many))
    return ModelOffer(
        name=model.name,
        input_price=None if read is None else read / many,
        output_price=None if written is None else written / many,
        spared=spared,
    )
