"""Makes what the plan works on: ``inbox/``, ``books.db`` and an empty ``findings/``.

    python prepare.py [--invoices 40] [--seed 1]

A small trader's orders, and an invoice for each. Most are as they should be; every eighth or so has
one thing wrong with it, and a few cannot be read at all. All of it is made up; the same seed makes
the same files.
"""

import argparse
import csv
import io
import json
import random
import shutil
import sqlite3
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

HERE = Path(__file__).parent
SUPPLIERS = (
    ("Nordwind Papier GmbH", "DE811234567", "DE02120300000000202051"),
    ("Atelier Lumen SARL", "FR40303265045", "FR1420041010050500013M02606"),
    ("Kaffeekontor Elbe", "DE298765432", "DE02500105170137075030"),
    ("Ostvik Verktøy AS", "NO987654325MVA", "NO9386011117947"),
)
GOODS = (("Paper A4", "4.35"), ("Desk lamp", "49.90"), ("Coffee, 1 kg", "17.25"))
GOODS += (("Drill bits", "23.10"), ("Envelopes", "0.085"), ("Ink, black", "31.50"))
RATES = ("19", "19", "19", "7")


@dataclass(frozen=True)
class Invoice:
    """One invoice; ``lines`` are (item, quantity, unit price, VAT rate)."""

    number: str
    supplier: int
    iban: str
    day: date
    order: str
    lines: tuple[tuple[str, int, str, str], ...]
    gross: Decimal

    @property
    def vat_id(self) -> str:
        """Of the supplier."""
        return SUPPLIERS[self.supplier][1]


def main() -> None:
    """Make everything anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--invoices", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    invoices = [_invoice(at, chance) for at in range(asked.invoices)]
    _fill_books(invoices)
    for name in ("inbox", "findings"):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
    for at, invoice in enumerate(invoices):
        _arrive(at, _spoiled(at, invoice, chance))
    (HERE / "inbox" / "scan.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    (HERE / "inbox" / "note.txt").write_text("Hello, the invoice follows by post.\n")
    (HERE / "inbox" / "cut.json").write_text('{"number": "2026-9', encoding="utf-8")
    print(f"{len(invoices) + 3} files in inbox/, {len(invoices)} orders in books.db")


def _invoice(at: int, chance: random.Random) -> Invoice:
    supplier = chance.randrange(len(SUPPLIERS))
    lines = tuple(
        (item, chance.randint(1, 40), price, chance.choice(RATES))
        for item, price in chance.sample(GOODS, chance.randint(1, 3))
    )
    day = date(2026, 1, 5) + timedelta(days=chance.randrange(90))
    iban, order = SUPPLIERS[supplier][2], f"PO-{1001 + at}"
    return Invoice(f"2026-{at + 1:04}", supplier, iban, day, order, lines, sum(_sums(lines)))


def _sums(lines: tuple[tuple[str, int, str, str], ...]) -> tuple[Decimal, Decimal]:
    """Net and VAT, as a careful supplier reckons."""
    by_rate: dict[str, Decimal] = {}
    for _, quantity, price, rate in lines:
        by_rate[rate] = by_rate.get(rate, Decimal(0)) + _rounded(quantity * Decimal(price))
    vat = sum(_rounded(net * Decimal(rate) / 100) for rate, net in by_rate.items())
    return sum(by_rate.values(), Decimal(0)), Decimal(vat)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _spoiled(at: int, invoice: Invoice, chance: random.Random) -> Invoice:
    """Every eighth with one thing wrong, each in its turn."""
    if at % 8 != 3:
        return invoice
    item, quantity, price, rate = invoice.lines[0]
    more = ((item, quantity + 20, price, rate), *invoice.lines[1:])
    return (
        replace(invoice, gross=invoice.gross + Decimal("9.00")),  # does not add up
        replace(invoice, lines=more, gross=sum(_sums(more), Decimal(0))),  # more than was ordered
        replace(invoice, iban="DE89370400440532013000"),  # not the supplier's account
        replace(invoice, order=f"PO-{chance.randint(5000, 9999)}"),  # nobody ordered that
        replace(invoice, number=f"{invoice.number}-B"),  # paid before, under another number
    )[at // 8 % 5]


def _fill_books(invoices: list[Invoice]) -> None:
    path = HERE / "books.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as books:
        books.executescript(
            """
            CREATE TABLE suppliers (name TEXT, vat_id TEXT PRIMARY KEY, iban TEXT);
            CREATE TABLE orders (number TEXT PRIMARY KEY, vat_id TEXT, net_cents INTEGER);
            CREATE TABLE payments (
                invoice TEXT, vat_id TEXT, order_number TEXT, gross_cents INTEGER, paid_on TEXT);
            """
        )
        books.executemany("INSERT INTO suppliers VALUES (?, ?, ?)", SUPPLIERS)
        for at, one in enumerate(invoices):
            net, vat = _sums(one.lines)
            order = one.order, one.vat_id, int(net * 100)
            books.execute("INSERT INTO orders VALUES (?, ?, ?)", order)
            if at % 13 == 5 or at % 40 == 35:
                paid = one.number, one.vat_id, one.order, int((net + vat) * 100)
                day = (one.day + timedelta(days=10)).isoformat()
                books.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", (*paid, day))
    books.close()


def _arrive(at: int, invoice: Invoice) -> None:
    kind, write = (("json", _json), ("csv", _csv), ("txt", _text))[at % 3]
    path = HERE / "inbox" / f"{invoice.number}.{kind}"
    path.write_text(write(invoice), encoding="utf-8")


def _head(invoice: Invoice) -> dict[str, str]:
    return {
        "number": invoice.number,
        "supplier": SUPPLIERS[invoice.supplier][0],
        "vat_id": invoice.vat_id,
        "iban": invoice.iban,
        "date": invoice.day.isoformat(),
        "order": invoice.order,
        "gross": str(invoice.gross),
    }


def _json(invoice: Invoice) -> str:
    names = ("item", "quantity", "unit_price", "vat_rate")
    lines = [dict(zip(names, line, strict=True)) for line in invoice.lines]
    return json.dumps({**_head(invoice), "lines": lines}, indent=1, ensure_ascii=False)


def _csv(invoice: Invoice) -> str:
    head = {**_head(invoice), "date": f"{invoice.day:%d.%m.%Y}"}
    out = io.StringIO()
    names = (*head, "item", "quantity", "unit_price", "vat_rate")
    rows = csv.writer(out)
    rows.writerow(names)
    rows.writerows((*head.values(), *line) for line in invoice.lines)
    return out.getvalue()


def _text(invoice: Invoice) -> str:
    """As people write: 5 March 2026, 1.234,50 EUR, an IBAN in groups of four."""
    gross = f"{invoice.gross:,.2f}".translate(str.maketrans(",.", ".,"))
    iban = " ".join(invoice.iban[at : at + 4] for at in range(0, len(invoice.iban), 4))
    day = f"{invoice.day.day} {invoice.day:%B %Y}"
    told = {**_head(invoice), "date": day, "gross": f"{gross} EUR", "iban": iban}
    head = "".join(f"{name.replace('_', ' ').title()}: {value}\n" for name, value in told.items())
    lines = (
        f"  {many} x {item} at {price} ({rate} %)\n" for item, many, price, rate in invoice.lines
    )
    return f"INVOICE\n\n{head}\n{''.join(lines)}\nThank you for your order.\n"


if __name__ == "__main__":
    main()
