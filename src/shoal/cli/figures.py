"""Figures as people read them, and texts from traffic as a terminal can be trusted with them."""

import re
import time
from datetime import UTC, datetime

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def money(dollars: float | None) -> str:
    """US dollars; "unknown" for None.

    >>> money(1234.5), money(0.000412), money(0.0), money(None)
    ('$1,234.50', '$0.000412', '$0.00', 'unknown')
    """
    if dollars is None:
        return "unknown"
    return f"${dollars:.6f}" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def size(count: float) -> str:
    """Bytes, as disks are sold.

    >>> size(420_000), size(4_900_000_000)
    ('0.4 MB', '4.9 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def percent(part: float, whole: float = 1.0) -> str:
    """A share in percent; "-" of nothing.

    >>> percent(0.05), percent(1, 3), percent(0, 0)
    ('5 %', '33.3 %', '-')
    """
    return f"{100 * part / whole:.3g} %" if whole else "-"


def moment(seconds: float) -> str:
    """Unix seconds as a time in UTC.

    >>> moment(1735689600.0)
    '2025-01-01 00:00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def short_moment(seconds: float) -> str:
    """Unix seconds in at most eight characters: the time if it was today (UTC), else the date."""
    full = moment(seconds)
    return full[11:] if full[:10] == moment(time.time())[:10] else full[2:10]


def printable(text: str) -> str:
    r"""``text`` without what could steer a terminal, or cannot be written to one.

    >>> printable("a\x1b[31mb\tc\n")
    'a\\x1b[31mb\tc\n'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""The same of a JSON text, which keeps its meaning.

    >>> printable_json('"a\x9b31m"')
    '"a\\u009b31m"'
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """``text`` printable and on one line."""
    return printable(" ".join(text.split()))
