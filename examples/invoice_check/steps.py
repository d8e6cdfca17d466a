"""What the plan does by calculation: read an invoice, add it up, lay out the table.

Amounts are decimal numbers while they are read, whole cents from ``add_up`` on, and never floats.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs

from shoal.tools.python import tool

SCHEMA = json.loads((Path(__file__).parent / "invoice.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)

HEAD = ("number", "supplier", "vat_id", "iban", "date", "order", "gross")
LINE = ("item", "quantity", "unit_price", "vat_rate")
AMOUNTS = ("gross", "quantity", "unit_price", "vat_rate")
DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%d/%m/%Y")
TEXT_LINE = re.compile(
    r"(?P<quantity>[\d.,]+)\s*x\s+(?P<item>.+?)\s+at\s+(?P<unit_price>[\d.,]+)"
    r"\s*\((?P<vat_rate>[\d.,]+)\s*%\)"
)


@dataclass
class Line:
    """One line of an invoice; numbers are decimal numbers as texts."""

    item: str
    quantity: str
    unit_price: str
    vat_rate: str


@dataclass
class Invoice:
    """What is checked; ``date`` is like 2026-03-05, ``gross`` what the supplier wants."""

    number: str
    supplier: str
    vat_id: str
    iban: str
    date: str
    order: str
    gross: str
    lines: list[Line]


@dataclass
class Reading:
    """An invoice, or why there is none."""

    invoice: Invoice | None
    problems: list[str]


@dataclass
class Amounts:
    """In cents; ``problems`` is what does not add up."""

    net_cents: int
    vat_cents: int
    gross_cents: int
    problems: list[str]


@dataclass
class Table:
    """The table as Markdown, and how many invoices have each verdict."""

    text: str
    counts: dict[str, int]


@tool(effects="reads")
def read_invoice(path: str, text: str | None) -> Reading:
    """The fields of an invoice, dates and numbers normalised, held to invoice.schema.json.

    Args:
        path: its name; .json, .csv or .txt says how it is read
        text: what the file holds; null if that is no text
    """
    if text is None:
        return Reading(None, ["no text in UTF-8, as a scan is none"])
    readers = {".json": _from_json, ".csv": _from_csv, ".txt": _from_text}
    reader = readers.get(Path(path).suffix.lower())
    if reader is None:
        return Reading(None, [f"expected a .json, .csv or .txt file, found {path}"])
    try:
        found = _normalised(reader(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return Reading(None, [f"cannot be read: {error}"])
    problems = [
        f"{'.'.join(map(str, error.instance_path)) or 'invoice'}: {error.message}"
        for error in VALIDATOR.iter_errors(found)
    ]
    if problems:
        more = [f"and {len(problems) - 3} problems more"] if len(problems) > 3 else []
        return Reading(None, problems[:3] + more)
    lines = [Line(**{name: line[name] for name in LINE}) for line in found["lines"]]
    return Reading(Invoice(**{name: found[name] for name in HEAD}, lines=lines), [])


@tool(effects="reads")
def add_up(invoice: Invoice) -> Amounts:
    """Net, VAT and gross, each VAT rate's lines rounded together.

    Args:
        invoice: as it was read
    """
    net_by_rate: dict[Decimal, Decimal] = {}
    for line in invoice.lines:
        net = _cents(Decimal(line.quantity) * Decimal(line.unit_price))
        rate = Decimal(line.vat_rate)
        net_by_rate[rate] = net_by_rate.get(rate, Decimal(0)) + net
    net = sum(net_by_rate.values(), Decimal(0))
    vat = sum((_whole(net * rate / 100) for rate, net in net_by_rate.items()), Decimal(0))
    stated, problems = _cents(Decimal(invoice.gross)), []
    if stated != net + vat:
        problems.append(f"states {_euros(stated)}, its lines come to {_euros(net + vat)}")
    return Amounts(int(net), int(vat), int(net + vat), problems)


@tool(effects="reads")
def table(files: list[dict[str, Any]], checked: list[dict[str, Any] | None]) -> Table:
    """A table of all that was found, those last that may be paid.

    Args:
        files: the entries of the inbox
        checked: for each what was found; null where a step failed
    """
    rows, counts, first = [], dict[str, int](), dict[tuple[str, str], str]()
    for file, found in zip(files, checked, strict=True):
        told = found or {"verdict": "not checked", "reasons": ["a step failed: see the run"]}
        if told["verdict"] == "pay":
            before = first.setdefault((told["vat_id"], told["order"]), file["path"])
            if before != file["path"]:
                told |= {"verdict": "sent twice", "reasons": [f"{before} is for the same order"]}
        verdict, gross = str(told["verdict"]), told.get("gross_cents")
        counts[verdict] = counts.get(verdict, 0) + 1
        cells = file["path"], told.get("number", ""), "" if gross is None else _euros(gross)
        row = [verdict, *cells, "; ".join(told["reasons"])]
        rows.append((verdict == "pay", *(_cell(each) for each in row)))
    head = "| verdict | file | invoice | gross | why |\n|---|---|---|---:|---|\n"
    return Table(head + "".join(f"| {' | '.join(row[1:])} |\n" for row in sorted(rows)), counts)


def _cell(value: str) -> str:
    """Text of strangers, so that it stays within its cell."""
    return " ".join(value.split()).replace("|", "/")


def _from_json(text: str) -> Mapping[str, Any]:
    found = json.loads(text, parse_float=str, parse_int=str)
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found


def _from_csv(text: str) -> Mapping[str, Any]:
    """A line of the file for each of the invoice; what is the whole invoice's is in each."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise ValueError("there are no lines below the head")
    for name in HEAD:
        if len({row.get(name) for row in rows}) > 1:
            raise ValueError(f"its lines differ in {name}")
    head = {name: rows[0][name] for name in HEAD if rows[0].get(name) is not None}
    return {**head, "lines": [{name: row[name] for name in LINE} for row in rows]}


def _from_text(text: str) -> Mapping[str, Any]:
    """Lines like "Number: 17", and "3 x Pallets at 19.90 (19 %)"."""
    found: dict[str, Any] = {"lines": list(_text_lines(text))}
    for name, value in re.findall(r"^\s*([A-Za-z _-]+?)\s*:\s*(.+?)\s*$", text, re.MULTILINE):
        found.setdefault(re.sub(r"[ -]", "_", name.lower()), value)
    return found


def _text_lines(text: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        if found := TEXT_LINE.fullmatch(line.strip()):
            yield found.groupdict()


def _normalised(found: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {name: found[name] for name in HEAD if name in found}
    told["lines"] = [
        {name: line[name] for name in LINE if name in line} for line in found.get("lines") or ()
    ]
    for part in (told, *told["lines"]):
        part |= {name: _amount(part[name]) for name in AMOUNTS if name in part}
    for name in ("iban", "vat_id"):
        if isinstance(told.get(name), str):
            told[name] = re.sub(r"\s", "", told[name]).upper()
    if isinstance(told.get("date"), str):
        told["date"] = _date(told["date"])
    return told


def _amount(value: Any) -> Any:
    """As "1234.50" what was "1.234,50 EUR": of two signs the last is the decimal sign, and so is
    one alone, which makes "1,234" too little: the sum is found wrong then, and a person looks."""
    if not isinstance(value, str):
        return value
    plain = re.sub(r"[\s€]|EUR", "", value)
    if "," in plain and "." in plain:
        group = min(",.", key=plain.rfind)
        plain = plain.replace(group, "")
    return plain.replace(",", ".")


def _date(value: str) -> str:
    for form in DATES:
        try:
            return datetime.strptime(value.strip(), form).date().isoformat()
        except ValueError:
            continue
    return value  # the schema says what is wrong with it


def _cents(amount: Decimal) -> Decimal:
    return _whole(amount * 100)


def _whole(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal(1), ROUND_HALF_UP)


def _euros(cents: Decimal | int) -> str:
    return f"{Decimal(cents) / 100:,.2f} EUR"
