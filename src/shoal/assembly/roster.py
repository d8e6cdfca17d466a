"""The roster: which tasks there are, and who serves each, as of one revision of the store.

A roster never changes; a new one is read when the store's revision does. A specialist whose files
are damaged is left out, with the reason, and its task goes to the LLM.
"""

import logging
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.loader import Loader
from shoal.chat import Request
from shoal.errors import ArtifactError, StoreError
from shoal.guarantees import Certificate
from shoal.routing.agreement import AgreementRung
from shoal.routing.filing import agreement_id
from shoal.routing.rung import Rung
from shoal.specialists.card import Card
from shoal.specialists.generated import GeneratedSpecialist
from shoal.storage import Stage, Standing, Store
from shoal.tasks import Match, Matcher, Task

log = logging.getLogger(__name__)

OwnRung = Rung | AgreementRung
"""What answers in the LLM's place, on a certificate."""


class Post(Struct, frozen=True):
    """One task: how far it has got, and its specialist's rung, or the ``problem`` why it has none.
    ``agreement`` is the rung of cheaper models, if they serve."""

    task: Task
    stage: Stage = "observe"
    rung: Rung | None = None
    problem: str = ""
    agreement: AgreementRung | None = None


class Roster(Struct, frozen=True):
    """All posts by task id, and the matcher over their tasks."""

    revision: int
    matcher: Matcher
    posts: Mapping[str, Post]

    def find(self, request: Request) -> "tuple[Match, Post] | None":
        """The task of a request and who serves it."""
        match = self.matcher.match(request)
        return None if match is None else (match, self.posts[match.task.id])


class RosterReader:
    """Reads rosters, keeping the rungs that it has loaded before."""

    def __init__(self, store: Store, loader: Loader | None = None) -> None:
        self._store, self._loader = store, loader or Loader(store)
        self._rungs: dict[str, Rung] = {}
        self._agreements: dict[str, AgreementRung] = {}

    def read(self) -> Roster:
        """The roster of now. Takes file reads, and a second where specialists must be loaded.

        Raises:
            StoreError: the store cannot be read.
        """
        revision = self._store.database.revision()
        tasks = [msgspec.json.decode(row.spec, type=Task) for row in self._store.tasks.list()]
        standings = {standing.task: standing for standing in self._store.standings.list()}
        posts = {
            task.id: replace(
                self._post(task, standings.get(task.id)),
                agreement=self._agreement(task, standings.get(agreement_id(task.id))),
            )
            for task in tasks
        }
        used = {post.rung.certificate.id for post in posts.values() if post.rung}
        self._rungs = {key: rung for key, rung in self._rungs.items() if key in used}
        agreeing = {post.agreement.certificate.id for post in posts.values() if post.agreement}
        kept = {key: rung for key, rung in self._agreements.items() if key in agreeing}
        self._agreements = kept
        return Roster(revision, Matcher(tasks), posts)

    def close(self) -> None:
        """Let go of local models, whatever they are at; takes a moment."""
        for rung in [*self._rungs.values()]:  # a last reading may be under way
            if isinstance(rung.specialist, GeneratedSpecialist):
                rung.specialist.close()

    def _post(self, task: Task, standing: Standing | None) -> Post:
        if standing is None or standing.stage == "observe":
            return Post(task)
        try:
            return Post(task, standing.stage, self._rung(standing, task.name))
        except (ArtifactError, StoreError, msgspec.DecodeError) as error:
            return Post(task, standing.stage, problem=str(error))

    def _agreement(self, task: Task, standing: Standing | None) -> AgreementRung | None:
        if standing is None or standing.stage != "serve":
            return None
        name = f"agreement/{task.name}"
        known = self._agreements.get(standing.certificate)
        if known is not None:
            return known if known.name == name else replace(known, name=name)
        try:
            card = msgspec.json.decode(self._store.cards.get(standing.card).spec, type=Card)
            certificate = Certificate.from_json(
                self._store.certificates.get(standing.certificate).spec
            )
            trust = self._loader.load_trust(card)
        except (ArtifactError, StoreError, msgspec.DecodeError) as error:
            log.warning("%s is left out: %s", name, error)
            return None
        rung = AgreementRung(name, card, certificate, trust)
        self._agreements[standing.certificate] = rung
        return rung

    def _rung(self, standing: Standing, task_name: str) -> Rung:
        known = self._rungs.get(standing.certificate)
        name = f"specialist/{task_name}"
        if known is not None:
            return known if known.name == name else replace(known, name=name)
        card = msgspec.json.decode(self._store.cards.get(standing.card).spec, type=Card)
        spec = self._store.certificates.get(standing.certificate).spec
        rung = Rung(name, card, Certificate.from_json(spec), self._loader.load(card))
        self._rungs[standing.certificate] = rung
        return rung
