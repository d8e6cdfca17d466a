"""Three stored plans and goals that ask for them, in many words."""

import random

from planning.worlds import answer, ask, plan_of, tool
from shoal.planning.plan import Plan
from shoal.planning.recurring import OTHER, PlanExample
from shoal.tools.tool import Json


def takes(**properties: Json) -> Json:
    """An input with these properties, all required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


PRICE = plan_of(
    tool("a", arguments={"id": "${input.id}"}),
    answer("${a.price}"),
    name="price",
    input=takes(id={"type": "integer"}),
)
TRAVEL = plan_of(
    ask("r", "How far is it from ${input.origin} to ${input.city}?"),
    answer("${r}"),
    name="travel",
    input=takes(city={"type": "string"}, origin={"type": "string"}),
)
RULES = plan_of(
    {"do": "retrieve", "id": "r", "collection": "rules", "query": "${input.goal}"},
    answer("${r}"),
    name="rules",
    input=takes(goal={"type": "string"}),
)
PLANS: tuple[Plan, ...] = (PRICE, TRAVEL, RULES)

_BEFORE = ("", "please ", "hi, ", "could you ", "quickly: ", "I need you to ")
_PRICES = ("tell me what {0} costs", "find the price of item {0}", "what is the cost of no. {0}")
_TRAVELS = ("tell how far {1} is from {0}", "find the way from {0} to {1}", "go to {1} from {0}")
_RULES = ("say whether I may {0} a {1}", "look up the rules to {0} any {1}", "can one {0} that {1}")
_OTHERS = ("sing {0}", "write a poem on {0}", "call me {0}", "what time is it in {0}")
_CITIES = ("Rome", "Oslo", "Porto", "Lima", "Kyoto", "Quito", "Bergen", "Tallinn", "Graz", "Hull")


def examples(count: int, seed: int = 0) -> list[PlanExample]:
    """So many, drawn."""
    rng = random.Random(seed)
    return [_example(rng) for _ in range(count)]


def _example(rng: random.Random) -> PlanExample:
    before, kind = rng.choice(_BEFORE), rng.randrange(4)
    if kind == 0:
        number = rng.randint(10, 9_999)
        return PlanExample(before + rng.choice(_PRICES).format(number), "price", {"id": number})
    if kind == 1:
        origin, city = rng.sample(_CITIES, 2)
        goal = before + rng.choice(_TRAVELS).format(origin, city)
        return PlanExample(goal, "travel", {"origin": origin, "city": city})
    if kind == 2:
        words = rng.choice(("return", "swap", "keep")), rng.choice(("shoe", "hat", "lamp", "book"))
        goal = before + rng.choice(_RULES).format(*words)
        return PlanExample(goal, "rules", {"goal": goal})
    return PlanExample(before + rng.choice(_OTHERS).format(rng.choice(_CITIES)), OTHER)
