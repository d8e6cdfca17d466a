"""The report on one task: a page of HTML that stands alone and can be shown to an auditor.

What it shows was said by callers and models, so every text is escaped, and the page holds neither
script nor anything that a browser would fetch; its content policy forbids both.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.evaluation import report_charts as charts
from shoal.guarantees import Calibration, Certificate, Watch, anytime_upper_bound, percent

_CUT = 1_500  # characters of a text that are shown
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;max-width:860px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #d5dbe1}
table{border-collapse:collapse;width:100%;font-size:.92em}
td,th{text-align:left;padding:.3em .6em;border-bottom:1px solid #e4e8ec;vertical-align:top;
overflow-wrap:anywhere}
th{white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:.92em}
.lead{background:#eef5f1;border-left:4px solid #2b7a55;padding:.8em 1em}
.none{background:#fbf1ee;border-left:4px solid #b4472b;padding:.8em 1em}
svg{width:100%;height:auto}svg text{font-size:12px;fill:#445}
.grid{stroke:#e4e8ec}.line{fill:none;stroke:#1f5fa8;stroke-width:2}
.bound{fill:none;stroke:#9db9d8;stroke-width:1.5}.level{stroke:#b4472b;stroke-dasharray:5 4}
.whisker{stroke:#2b7a55;stroke-width:2}.point{fill:#2b7a55}
.note{color:#566;font-size:.92em}
"""


class Step(Struct, frozen=True):
    """A rung of the ladder that was tried: CPU to train and to answer, the share it would serve,
    and what came of it in words."""

    name: str
    train_s: float
    answer_ms: float | None
    coverage: float
    outcome: str


class Example(Struct, frozen=True):
    """An answer that differed: what was asked, said by the reference and by the specialist."""

    call_id: str
    signal: float | None
    given: str
    reference: str
    said: str


class Asked(Struct, frozen=True):
    """What one call of a model takes: ``cost`` in USD and ``ms`` of waiting, None if not known."""

    cost: float | None
    ms: float | None


class Facts(Struct, frozen=True, kw_only=True):
    """What a report tells of a task's specialist, and of the ``agreement`` of its cheaper models,
    None if that was never tried.

    ``why_not`` is "" if the certificate is in force. ``log_e`` is the evidence after each audit,
    oldest first. ``llm`` and ``models`` (of a rung of cheaper models, all of them together) are
    means over calls that they answered. ``log_odds``: the signals of ``points`` are such.
    """

    task: str
    answers: str
    stage: str
    made_at: float
    certificate: Certificate | None
    why_not: str
    points: Calibration | None = None
    ladder: tuple[Step, ...] = ()
    mistakes: tuple[Example, ...] = ()
    disagreements: tuple[Example, ...] = ()
    watch: Watch | None = None
    log_e: tuple[float, ...] = ()
    log_odds: bool = False
    llm: Asked = Asked(None, None)
    models: Asked | None = None
    agreement: "Facts | None" = None


def render(facts: Facts) -> str:
    """The page."""
    title = f"Shoal: report on {facts.task}"
    parts = [_part(facts)]
    if facts.agreement is not None:
        name = f"Cheaper models of {facts.task}"
        parts += [f"<h1>{escape(name)}</h1>", _part(facts.agreement)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _part(facts: Facts) -> str:
    return "".join((_summary(facts), *_proof(facts), _ladder(facts)))


def _who(found: Certificate) -> str:
    return "the cheaper models" if found.models else "the specialist"


def _summary(facts: Facts) -> str:
    found = facts.certificate
    rows = [("Answers", facts.answers), ("Stage", facts.stage), ("Made", _utc(facts.made_at))]
    if found is None:
        return f'<p class="none">No certificate: {escape(facts.why_not)}.</p>{_pairs(rows)}'
    each = " and of each label by itself" if found.labels is not None else ""
    lead = (
        f"Of the answers that {_who(found)} give{'' if found.models else 's'} in its place{each}, "
        f"at most <b>{percent(found.alpha)}</b> differ from {escape(found.reference)}, with "
        f"<b>{percent(found.confidence)}</b> confidence: about <b>{percent(found.coverage)}</b> of "
        f"the calls{' that the specialist passes on' if found.after else ''}."
    )
    state = (
        "" if not facts.why_not else f'<p class="none">Not in force: {escape(facts.why_not)}.</p>'
    )
    rows += [
        ("Measured on", f"{found.n:,} {found.method} examples"),
        ("Would have answered", f"{found.accepted:,}, of which {found.errors} differed"),
        ("Upper bound of the risk", percent(found.risk_bound)),
        ("Coverage", f"{percent(found.coverage_low)} to {percent(found.coverage_high)}"),
        ("Compared by", found.comparator),
        ("The reference agrees with itself", _share(found.self_agreement)),
        ("Attempt", f"{found.attempt}, spent {percent(found.delta_spent)} of the error budget"),
        ("Valid", f"{_utc(found.issued_at)} until {_utc(found.lapses_at)}"),
        ("Certificate", found.id),
        ("Data", found.data_digest),
    ]
    if found.models:
        rows += [
            ("Models", ", ".join(found.models)),
            ("After the specialist", found.after or "none: measured on all calls"),
            ("Signal", found.signal),
            ("Answers must pass", ", ".join(found.validators) or "nothing but the contract"),
        ]
    if found.made_up:
        rows.append(("Examples made up by the LLM", f"{found.made_up:,} trained, none measured"))
    return f'{state}<p class="lead">{lead}</p>{_pairs(rows)}'


def _proof(facts: Facts) -> Iterable[str]:
    found, points = facts.certificate, facts.points
    if found is None:
        return
    assumed = "".join(f"<li>{escape(line)}</li>" for line in found.assumptions)
    yield f"<h2>What is not promised</h2><ul>{assumed}</ul>"
    delta = 1.0 - found.confidence
    if points is None:
        yield "<p>Its calibration points were not kept: it was issued by an earlier version.</p>"
    else:
        point = (found.coverage, found.errors / max(1, found.accepted), found.risk_bound)
        certified = None if found.labels is not None else point
        chart = charts.risk_coverage(points.signals, points.errors, found.alpha, delta, certified)
        yield (
            f"<h2>Risk and coverage</h2>{chart}<p class='note'>Dark: the share that differs among "
            "the surest calls. Light: its exact upper bound, each taken alone. The dot is the "
            "certified threshold, its whisker ends at the bound that was tested.</p>"
        )
        signals, threshold = points.signals, found.threshold
        if facts.log_odds:
            signals, threshold = _probability(signals), float(_probability(np.array(threshold)))
        reliable = charts.reliability(signals, points.errors, threshold)
        yield f"<h2>Does the signal mean what it says?</h2>{reliable}"
    yield _slices(found)
    yield _examples("Worst examples", facts.mistakes, "calibration examples that would be served")
    yield _audits(facts, delta)


def _probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))


def _slices(found: Certificate) -> str:
    rows = [
        (
            part.by,
            part.name or "(none)",
            f"{part.n:,}",
            f"{part.accepted:,}",
            str(part.errors),
            percent(part.errors / part.accepted) if part.accepted else "-",
            percent(part.risk_high) if part.accepted else "-",
        )
        for part in found.slices
    ]
    if not rows:
        return ""
    worst = "; ".join(f"by {part.by}: {part.name}" for part in found.worst_slices())
    head = ("by", "slice", "examples", "accepted", "differed", "share", "upper bound, alone")
    labels = _labels(found)
    return (
        f"<h2>Slices</h2><p class='note'>Looked at, not promised. Worst, by the evidence: "
        f"{escape(worst)}.</p>{labels}{_table(head, rows)}"
    )


def _labels(found: Certificate) -> str:
    if found.labels is None:
        return ""
    head = ("label, promised by itself", "threshold", "accepted", "differed", "bound")
    rows = [
        (p.label, f"{p.threshold:.4f}", f"{p.accepted:,}", str(p.errors), percent(p.risk_bound))
        for p in found.labels
    ]
    return _table(head, rows)


def _examples(title: str, found: Sequence[Example], what: str) -> str:
    if not found:
        return f"<h2>{title}</h2><p>None, of {what}; or their calls are no longer kept.</p>"
    head = ("signal", "input", "reference", "said instead", "call")
    rows = [
        (
            "-" if one.signal is None else f"{one.signal:.4f}",
            _cut(one.given),
            _cut(one.reference),
            _cut(one.said),
            one.call_id,
        )
        for one in found
    ]
    return f"<h2>{title}</h2><p class='note'>Of {what}, the surest first.</p>{_table(head, rows)}"


def _audits(facts: Facts, delta: float) -> str:
    watch = facts.watch
    if watch is None or watch.average.n == 0:
        return "<h2>Audits</h2><p>There are no audits yet.</p>"
    process, (whole, _) = watch.average, watch.levels(delta)
    bound = anytime_upper_bound(process.errors, process.n, delta)
    text = (
        f"{process.n:,} answers were compared with the reference after they were given; "
        f"{process.errors} differed. At all moments together, their share is at most "
        f"{percent(bound)} with {percent(1 - delta)} confidence. The evidence against the "
        f"promise is {process.e_value:.3g}; at {1 / whole:.3g} the specialist is taken back."
    )
    wrong = _examples("Audits that differed", facts.disagreements, "audits")
    chart = charts.evidence(facts.log_e, whole)
    return f"<h2>Audits</h2><p>{text}</p>{chart}{_audits_by_label(watch, delta)}{wrong}"


def _audits_by_label(watch: Watch, delta: float) -> str:
    if not watch.labels:
        return ""
    _, part = watch.levels(delta)
    share = delta / len(watch.labels)
    head = ("label", "audited", "differed", "at most", "evidence against the promise")
    rows = [
        (
            label,
            f"{process.n:,}",
            str(process.errors),
            percent(anytime_upper_bound(process.errors, process.n, share)),
            f"{process.e_value:.3g}",
        )
        for label, process in sorted(watch.labels.items(), key=lambda item: -item[1].log_peak)
    ]
    note = (
        f"Each label is promised, and so watched, by itself: the specialist is taken back when the "
        f"evidence of any reaches {1 / part:,.0f}. The bounds hold for all labels and at all "
        f"moments together, with {percent(1 - delta)} confidence."
    )
    return f"<p class='note'>{note}</p>{_table(head, rows)}"


def _ladder(facts: Facts) -> str:
    rows = [
        (
            step.name,
            f"{step.train_s:.1f} s",
            "-" if step.answer_ms is None else f"{step.answer_ms:.2f} ms",
            percent(step.coverage),
            step.outcome,
        )
        for step in facts.ladder
    ]
    if facts.models is not None:
        rows.append(("their answers, while they serve", *_asked(facts.models, "see above")))
    rows.append(("the LLM", *_asked(facts.llm, "the rest")))
    head = ("candidate", "CPU to train", "an answer", "serves", "outcome")
    note = "CPU time of candidates was measured where they were trained; of models, elapsed time."
    return f"<h2>The ladder of the last attempt</h2>{_table(head, rows)}<p class='note'>{note}</p>"


def _asked(model: Asked, serves: str) -> tuple[str, str, str, str]:
    ms = "-" if model.ms is None else f"{model.ms:.0f} ms"
    cost = "unknown" if model.cost is None else f"${model.cost:.6f}"
    return "-", ms, serves, f"{cost} a call"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td><pre>{escape(cell)}</pre></td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{body}</table>"


def _cut(text: str) -> str:
    return text if len(text) <= _CUT else text[:_CUT] + " …"


def _share(value: float | None) -> str:
    return "not measured" if value is None else percent(value)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
