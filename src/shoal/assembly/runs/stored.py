"""The certified stored plans of agents, as planners."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from shoal.assembly.loader import Loader
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.scene import Scene
from shoal.guarantees import Certificate, percent
from shoal.planning.options import plans_id
from shoal.planning.plan_book import PlanBook, load_plans
from shoal.planning.stored_planner import StoredPlanner
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.storage import Stage, Store


class Ready(Struct, frozen=True):
    """What stands for an agent's stored plans: as ``stage`` says it serves, or only would."""

    stage: Stage
    book: PlanBook
    certificate: Certificate
    planner: StoredPlanner


class _Loaded(Struct, frozen=True):
    certificate: Certificate
    card: Card
    book: PlanBook
    files: tuple[str, ...]
    specialist: Specialist


class StoredPlans:
    """Loads what stands for an agent once; asks the store what that is each time."""

    def __init__(self, store: Store, loader: Loader) -> None:
        self._store, self._loader = store, loader
        self._loaded: dict[str, _Loaded] = {}

    def ready(self, scene: Scene) -> Ready | None:
        """What stands for the scene's agent; None if nothing does. Reads the store: not for event
        loops.

        Raises:
            ArtifactError: its files are damaged.
        """
        agent = scene.agent
        assert agent is not None
        standing = self._store.standings.get(plans_id(agent.name))
        if standing is None or standing.stage == "observe":
            self._loaded.pop(agent.name, None)
            return None
        known = self._loaded.get(agent.name)
        if known is None or known.certificate.id != standing.certificate:
            known = self._load(standing.card, standing.certificate)
            self._loaded[agent.name] = known
        planner = StoredPlanner.certified(
            known.book,
            known.specialist,
            known.certificate,
            scene.catalogue,
            scene.limits,
            _withheld(known, agent, scene.regime.promise(plans_id(agent.name))),
            scene.regime.discretion.may_learn,
        )
        return Ready(standing.stage, known.book, known.certificate, planner)

    def _load(self, card_id: str, certificate_id: str) -> _Loaded:
        card = msgspec.json.decode(self._store.cards.get(card_id).spec, type=Card)
        spec = self._store.certificates.get(certificate_id).spec
        kept = load_plans(self._store.artifacts.open(card.artifact))
        proven = Certificate.from_json(spec)
        return _Loaded(proven, card, PlanBook(kept.plans), kept.files, self._loader.load(card))


def _withheld(known: _Loaded, agent: Agent, promise: PromiseOptions) -> Mapping[str, str]:
    """Plans that are not to be run, by name, and why: all of them, or those whose files people have
    changed since."""
    if why := _broken(known, agent, promise):
        return dict.fromkeys(known.book.plans, why)
    gone = {name for name in known.files if name not in agent.stored}
    changed = {name for name, plan in agent.stored.items() if known.book.plans.get(name) != plan}
    withheld = dict.fromkeys(gone, "its file is there no more")
    return withheld | dict.fromkeys(changed, "its file has changed since it was certified")


def _broken(known: _Loaded, agent: Agent, promise: PromiseOptions) -> str:
    """Why what was proven is not what is to be promised now; "" if it is."""
    certificate, model = known.certificate, agent.options.planner
    if model is not None and not certificate.by_people and known.card.llm != model:
        return f"the stored plans are proven against {known.card.llm}, and {model} plans now"
    if certificate.alpha > promise.alpha or certificate.confidence < promise.confidence:
        return (
            f"the stored plans are proven at {percent(certificate.alpha)} with "
            f"{percent(certificate.confidence)} confidence, and promised is "
            f"{percent(promise.alpha)} with {percent(promise.confidence)} now"
        )
    return ""
