"""The certified stored plans of agents, as planners."""

import msgspec

from shoal.assembly.loader import Loader
from shoal.assembly.runs.scene import Scene
from shoal.guarantees import Certificate
from shoal.planning.plan_book import PlanBook, load_plans
from shoal.planning.stored_planner import StoredPlanner, plans_id
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.storage import Store


class StoredPlans:
    """Loads what stands for an agent once; asks the store what that is each time."""

    def __init__(self, store: Store, loader: Loader) -> None:
        self._store, self._loader = store, loader
        self._loaded: dict[str, tuple[str, PlanBook, Specialist, Certificate]] = {}

    def planner(self, scene: Scene) -> StoredPlanner | None:
        """The planner of what is certified for the scene's agent; None if nothing is. Reads the
        store: not for event loops.

        Raises:
            ArtifactError: its files are damaged.
        """
        assert scene.agent is not None
        agent = scene.agent.name
        standing = self._store.standings.get(plans_id(agent))
        if standing is None or standing.stage != "serve":
            self._loaded.pop(agent, None)
            return None
        known = self._loaded.get(agent)
        if known is None or known[0] != standing.certificate:
            known = self._loaded[agent] = self._load(standing.card, standing.certificate)
        _, book, specialist, certificate = known
        return StoredPlanner.certified(book, specialist, certificate, scene.catalogue, scene.limits)

    def _load(
        self, card_id: str, certificate_id: str
    ) -> tuple[str, PlanBook, Specialist, Certificate]:
        card = msgspec.json.decode(self._store.cards.get(card_id).spec, type=Card)
        spec = self._store.certificates.get(certificate_id).spec
        book = PlanBook(load_plans(self._store.artifacts.open(card.artifact)))
        return certificate_id, book, self._loader.load(card), Certificate.from_json(spec)
