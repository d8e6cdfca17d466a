"""Chooses the member of a mixture that a call is for, before anybody is asked."""

import asyncio
import logging
from collections.abc import Iterator

from msgspec.structs import replace

from shoal.assembly.handled import Handled
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.mixture import Mixture
from shoal.assembly.model import Model
from shoal.assembly.roster import Roster
from shoal.assembly.strategies import ReasonedEngine
from shoal.chat import Request
from shoal.errors import ArtifactError
from shoal.routing.gate import Gate, gate_text

log = logging.getLogger(__name__)


async def gated(handled: Handled, roster: Roster, encoder: LazyEncoder) -> Handled:
    """The call with its model set to the mixture's member that is to answer; as it is where its
    model is no mixture.

    A tool loop is one call's: later turns go to whom the question at its beginning goes to. Takes
    some 5 ms of CPU in a thread where the learned gate is asked.
    """
    model = handled.model
    mixed = None if model is None else next(_mixed(model), None)
    if model is None or mixed is None:
        return handled
    asked = opening(handled.request)
    task = handled.post.task.name if handled.post else ""
    if asked is not handled.request:
        found = roster.find(asked)
        task = found[1].task.name if found else ""
    like = "", ""
    if not task and (gate := mixed.gate) is not None:
        like = await asyncio.to_thread(_like, gate, asked, encoder)
    return replace(handled, model=_pinned(model, task, like))


def member_for(model: Model, task: str) -> Model:
    """The member of a mixture that answers a known task ("": of none); the model itself where it is
    none."""
    return _pinned(model, task, ("", "asked beside another model"))


def opening(request: Request) -> Request:
    """The request up to its last question; itself if that is its end, or there is none."""
    asked = [at for at, one in enumerate(request.messages) if one.role == "user"]
    if not asked or asked[-1] == len(request.messages) - 1:
        return request
    return replace(request, messages=request.messages[: asked[-1] + 1], body=b"")


def _mixed(model: Model) -> Iterator[Mixture]:
    """The mixtures that a model is, or asks."""
    return (one.mixture for one in model.asked if one.mixture is not None)


def _pinned(model: Model, task: str, like: tuple[str, str]) -> Model:
    """``like`` is the task that a request of none is like, as a gate says, and why."""
    if isinstance(model.engine, ReasonedEngine):
        members = tuple(_pinned(one, task, like) for one in model.members)
        chosen = "; ".join(one.chosen for one in members if one.chosen)
        engine = model.engine.asking(members)
        return replace(model, engine=engine, members=members, chosen=chosen)
    mixture = model.mixture
    if mixture is None:
        return model
    member, why = mixture.of_task(task) if task else mixture.of_none(*like)
    chosen = f"{member} answers for {model.name}: {why}"
    return replace(model, engine=mixture.engine.members[member], chosen=chosen)


def _like(gate: Gate, request: Request, encoder: LazyEncoder) -> tuple[str, str]:
    try:
        built = encoder.built()
    except ArtifactError as error:
        log.warning("a learned gate cannot be asked: %s", error)
        return "", "the gate's encoder is missing"
    if built.digest != gate.encoder:
        return "", "the gate was learned with another encoder: learn it again"
    return gate.task_of(built.encode([gate_text(request)])[0])
