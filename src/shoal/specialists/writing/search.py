"""Beam search: the most probable outputs of an input, and what each decoder thinks of them."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from shoal.specialists.writing.decoders import Decoders, Floats, Hidden, Page
from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.vocabulary import END, START, Unit

BEAM = 5
_HOPELESS = 4.0  # log-probability behind the best: less than 2 % of it


class Draft(Struct, frozen=True):
    """One output found: its text, its log-probability, how many units it has, and how many of the
    decoders would, each by itself, have written just this word for word."""

    text: str
    log_probability: float
    units: int
    agreeing: int


class _Hypothesis(Struct):
    total: float
    text: str
    units: int
    ended: bool
    last: int  # id; END for a piece that is no unit: nothing else is written after END
    read: Floats  # (s,) the words that the last piece was copied from
    greedy: np.ndarray  # (k,) whether each decoder would have come here by itself


def drafts(
    decoders: Decoders, source: Source, states: Floats, longest: int, beam: int = BEAM
) -> list[Draft]:
    """At most ``beam`` outputs of at most ``longest`` units, different texts, the most probable
    first. None if none comes to an end. ``states`` (s, n) are those of the source's words."""
    page, hidden = decoders.page(source, states)
    none = np.zeros(len(source), np.float32)
    open_ = [_Hypothesis(0.0, "", 0, False, START, none, np.ones(decoders.count, bool))]
    done: dict[str, Draft] = {}
    for _ in range(longest + 1):
        grown, hidden = _grown(decoders, page, hidden, open_, beam, none)
        best = max([d.log_probability for d in done.values()] + [g.total for g in grown])
        rows = [at for at, one in enumerate(grown) if one.total >= best - _HOPELESS]
        for one in (grown[at] for at in rows):
            if one.ended:
                _keep(done, one)
        rows = [at for at in rows if not grown[at].ended]
        if len(done) >= beam:
            worst = sorted(d.log_probability for d in done.values())[-beam]
            rows = [at for at in rows if grown[at].total > worst]
        if not rows:
            break
        hidden = hidden.rows(np.array(rows, np.intp))
        open_ = [grown[at] for at in rows]
    return sorted(done.values(), key=lambda draft: -draft.log_probability)[:beam]


def _keep(done: dict[str, Draft], one: _Hypothesis) -> None:
    """The same text may be written in several ways: their probabilities add up."""
    found = Draft(one.text, one.total, one.units, int(one.greedy.sum()))
    known = done.get(one.text)
    if known is not None:
        total = float(np.logaddexp(known.log_probability, one.total))
        found = Draft(one.text, total, one.units, max(known.agreeing, found.agreeing))
    done[one.text] = found


def _grown(
    decoders: Decoders,
    page: Page,
    hidden: Hidden,
    open_: list[_Hypothesis],
    beam: int,
    none: Floats,
) -> tuple[list[_Hypothesis], Hidden]:
    """The best ``beam`` ways to go on from all hypotheses, each with its states."""
    ids = np.array([one.last for one in open_], np.intp)
    each, hidden = decoders.step(page, hidden, ids, np.stack([one.read for one in open_]))
    mean = each.mean(axis=0)
    favourites = each.argmax(axis=2)  # (k, b)
    totals = np.array([one.total for one in open_])[:, None] + np.log(np.maximum(mean, 1e-30))
    size = totals.shape[1]
    best = np.argpartition(-totals.ravel(), min(beam, totals.size - 1))[:beam]
    piece_of = {int(id_): at for at, id_ in enumerate(page.ids)}
    units, grown = decoders.vocabulary.units, []
    for code in best[np.argsort(-totals.ravel()[best], kind="stable")].tolist():
        row, unit = divmod(code, size)
        before, at = open_[row], piece_of.get(unit)
        text = units[unit] if unit < len(units) else page.pieces[at]  # type: ignore[index]
        grown.append(
            _Hypothesis(
                float(totals[row, unit]),
                before.text + text,
                before.units + 1,
                unit == END,
                unit if unit < len(units) else END,
                none if at is None else page.reads[at],
                before.greedy & (favourites[:, row] == unit),
            )
        )
    rows = best[np.argsort(-totals.ravel()[best], kind="stable")] // size
    return grown, hidden.rows(rows)


def log_probability(
    decoders: Decoders, source: Source, states: Floats, units: Sequence[Unit]
) -> float:
    """Of writing these units, and then nothing more."""
    page, hidden = decoders.page(source, states)
    piece_of = {piece: at for at, piece in enumerate(page.pieces)}
    last, read, total = START, np.zeros((1, len(source)), np.float32), 0.0
    for unit in [*units, Unit(END, "")]:
        each, hidden = decoders.step(page, hidden, np.array([last], np.intp), read)
        at = piece_of.get(unit.text)
        id_ = unit.id if unit.id >= 0 or at is None else int(page.ids[at])
        total += float(np.log(max(each[:, 0, id_].mean(), 1e-30)))
        last = unit.id if unit.id >= 0 else END
        read = np.zeros_like(read) if at is None else page.reads[at : at + 1]
    return total
