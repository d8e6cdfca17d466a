"""How the data of this folder was made up: catalogue.csv, offers.csv with truth.csv, and labelled
pairs of earlier offers. Run it again to get the same, or change it for more.

    python make_data.py
"""

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

HERE = Path(__file__).parent
BRANDS = ("Arvo", "Beltane", "Corvex", "Dunmore", "Elsin", "Fjordal", "Gantry", "Hollis")
KINDS = {
    "cordless drill": ("12 V", "18 V", "18 V brushless"),
    "kettle": ("1.2 l", "1.7 l", "1.7 l with thermometer"),
    "headphones": ("wired", "wireless", "wireless noise cancelling"),
    "monitor": ("24 inch", "27 inch", "27 inch 4K"),
    "backpack": ("20 l", "28 l", "28 l rain cover"),
    "desk lamp": ("LED", "LED dimmable", "LED dimmable USB"),
    "router": ("AC1200", "AX1800", "AX3000 mesh"),
    "blender": ("600 W", "800 W", "800 W glass jug"),
    "vacuum cleaner": ("bagged", "bagless", "bagless HEPA"),
    "keyboard": ("compact", "full size", "full size backlit"),
}
COLOURS = ("black", "white", "grey", "blue")
SHORT = {
    "cordless": "crdls", "headphones": "headset", "wireless": "bluetooth", "black": "blk",
    "white": "wht", "with": "w/", "monitor": "display", "backpack": "rucksack", "inch": '"',
    "vacuum cleaner": "hoover", "backlit": "illuminated", "noise cancelling": "ANC",
}  # fmt: skip


class Product(Struct, frozen=True):
    """One article; ``model`` as its maker writes it, ``price`` in euros."""

    id: str
    brand: str
    kind: str
    model: str
    variant: str
    colour: str
    price: float

    @property
    def title(self) -> str:
        """As the catalogue has it."""
        return f"{self.brand} {self.model} {self.kind} {self.variant} {self.colour}"


def family(chance: random.Random, prefix: str, number: int) -> list[Product]:
    """Products that are easily taken for each other: variants and colours of one series."""
    brand, kind = chance.choice(BRANDS), chance.choice(list(KINDS))
    series = "".join(chance.choices("ABCDEFGHKLMNPRSTVX", k=2))
    base, price = chance.randrange(10, 95) * 10, chance.uniform(25, 190)
    found = []
    for at, variant in enumerate(KINDS[kind]):
        for colour in chance.sample(COLOURS, 1 + (at == 1)):
            model = f"{series}-{base + at * 10}"
            cost = round(price * (1 + 0.3 * at), 2)
            name = f"{prefix}{number:03d}{len(found)}"
            found.append(Product(name, brand, kind, model, variant, colour, cost))
    return found


def offered(chance: random.Random, product: Product) -> tuple[str, str, str]:
    """Title, brand and price of it as another shop writes them."""
    model = product.model
    way = chance.random()
    if way < 0.35:
        model = model.replace("-", chance.choice(("", " ")))
    elif way < 0.47:
        model = ""
    parts = [product.brand, model, product.kind, product.variant, product.colour]
    if chance.random() < 0.25:
        parts = [parts[2], parts[0], parts[1], *parts[3:]]
    if chance.random() < 0.2:
        parts[-1] = ""
    brand = product.brand
    if chance.random() < 0.3:
        brand = ""
    title = " ".join(part for part in parts if part)
    for word, short in SHORT.items():
        if word in title and chance.random() < 0.3:
            title = title.replace(word, short)
    if chance.random() < 0.15:
        title = typo(chance, title)
    if chance.random() < 0.2:
        title += chance.choice((" NEW", " (EU plug)", " - free delivery", " 2 yr warranty"))
    return title, brand, f"{product.price * chance.uniform(0.9, 1.08):.2f}"


def typo(chance: random.Random, text: str) -> str:
    """Two neighbouring letters change places."""
    at = chance.randrange(1, len(text) - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def pairs(
    chance: random.Random, catalogue: Sequence[Product], sold: Sequence[Product]
) -> Iterator[list[str]]:
    """Offers beside the products that look most like them, as blocking has it in the plan: some
    offers have no product there, and a specialist has to learn that too."""
    for product in sold:
        offer = offered(chance, product)
        near = sorted(catalogue, key=lambda other: -alike(offer[0], other.title))
        for other in near[:4]:
            same = "yes" if other is product else "no"
            yield [*offer, other.title, other.brand, f"{other.price:.2f}", same]


def alike(one: str, other: str) -> float:
    """The share of three-letter pieces that two titles have in common."""
    first, second = (
        {text[at : at + 3] for at in range(len(text) - 2)} for text in (one.lower(), other.lower())
    )
    return len(first & second) / max(1, len(first | second))


def main() -> None:
    """Write the files."""
    chance = random.Random(20_261_130)
    known = [family(chance, "p", number) for number in range(45)]
    write("catalogue.csv", ["id", "title", "brand", "price"],
          [[p.id, p.title, p.brand, f"{p.price:.2f}"] for one in known for p in one])  # fmt: skip
    sold = [chance.choice(one) for one in known] + [
        replace(product, id="") for number in range(15)
        for product in family(chance, "x", number)[:1]
    ]  # fmt: skip
    chance.shuffle(sold)
    rows = [(f"o{at:03d}", *offered(chance, product)) for at, product in enumerate(sold)]
    write("offers.csv", ["id", "title", "brand", "price"], rows)
    write("truth.csv", ["offer", "product"],
          [[row[0], product.id] for row, product in zip(rows, sold, strict=True)])  # fmt: skip
    there = [product for one in known for product in one]
    lost = [product for number in range(40) for product in family(chance, "t", number)]
    earlier = chance.choices(there, k=240) + chance.sample(lost, 110)
    chance.shuffle(earlier)
    labelled = list(pairs(chance, there, earlier))  # in the order in which the offers came
    names = ["offer_title", "offer_brand", "offer_price", "title", "brand", "price", "same"]
    write("labelled.csv", names, labelled)


def write(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as CSV."""
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()
