"""Why a specialist said what it said: found out again when somebody asks, from the stored call."""

import msgspec

from shoal.assembly.loader import Loader
from shoal.assembly.record import receipt_of
from shoal.errors import NotFound
from shoal.routing.filing import KIND
from shoal.routing.privacy import PrivacyOptions, scrub_input
from shoal.specialists.card import Card
from shoal.specialists.specialist import Reason
from shoal.storage import CallRecord, Store
from shoal.tasks import Matcher, Task


def explain(
    store: Store, loader: Loader, call: CallRecord, privacy: PrivacyOptions
) -> tuple[Reason, ...]:
    """What of a call's input decided what the specialist said that was asked about it, whether it
    answered or was too unsure; nothing if none was asked.

    Raises:
        NotFound: the specialist, or its task, is gone.
        ArtifactError: its files are damaged.
    """
    card = _card(store, call)
    if card is None:
        return ()
    row = next((row for row in store.tasks.list() if row.id == card.task), None)
    if row is None:
        raise NotFound(f"the task {card.task} of this call is gone")
    match = Matcher([msgspec.json.decode(row.spec, type=Task)]).find(call.request)
    if match is None:
        raise NotFound("the task of this call was redrawn since: its input cannot be told")
    given = match.input_of(call.request)
    if privacy.learns_less:
        given = scrub_input(given, privacy.scrubbed)
    return loader.load(card).explain(given)


def _card(store: Store, call: CallRecord) -> Card | None:
    """The card of the specialist that was asked about a call."""
    for tried in receipt_of(call).tried:
        if not tried.certificate or tried.signal is None:
            continue
        row = store.certificates.get(tried.certificate)
        card = msgspec.json.decode(store.cards.get(row.card).spec, type=Card)
        if card.kind != KIND:
            return card
    return None
