"""A desk whose goals recur: refunds, and where things are; stored plans of them, and examples."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import msgspec

from run_stage import answer, use
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.loader import Loader
from shoal.assembly.runs.agent import Agent
from shoal.chat import Request
from shoal.encoder import Encoder
from shoal.flywheel.certification import Verdict
from shoal.flywheel.planned_runs import Known
from shoal.flywheel.promotion import promote
from shoal.flywheel.stored_plans import Terms, certify_plans
from shoal.planning.options import AgentOptions, plans_id
from shoal.planning.plan import Plan, read_plan
from shoal.planning.recurring import PlanExample
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses
from shoal.storage import Store
from tiny_encoder import TinyEncoder, tiny_senses


def written(*steps: dict[str, Any]) -> str:
    return json.dumps({"name": "a plan", "steps": steps})


def is_planning(request: Request) -> bool:
    return request.messages[0].text.startswith("You write plans")


def planning(*plans: str) -> Callable[[Request], str]:
    """Says these plans, one after the other, and something else where it is no planner."""
    left = list(plans)

    def says(request: Request) -> str:
        return left.pop(0) if is_planning(request) else f"said {request.messages[-1].text}"

    return says


def stored(name: str, tool: str, field: str, kind: str) -> Plan:
    told = {
        "name": name,
        "input": {"type": "object", "properties": {field: {"type": kind}}, "required": [field]},
        "steps": [
            {"do": "tool", "id": "t", "tool": tool, "arguments": {
                "amount" if tool == "pay" else "what": f"${{input.{field}}}"}},
            {"do": "answer", "id": "end", "value": "${t}"},
        ],
    }  # fmt: skip
    return read_plan(msgspec.json.encode(told))


PLANS = [stored("refund", "pay", "amount", "integer"), stored("status", "look", "thing", "string")]
ENCODER = TinyEncoder()


def senses() -> Senses:
    return tiny_senses(ENCODER)


def loader(store: Store) -> Loader:
    return Loader(store, LazyEncoder(cast(Encoder, ENCODER)))


def desk(**options: Any) -> Agent:
    """An agent with two stored plans, for which ``gpt`` plans."""
    how = {"planner": "gpt", "tools": ("look", "pay"), "models": ("gpt",)} | options
    stored = {plan.name: plan for plan in PLANS}
    return Agent("desk", AgentOptions.model_validate(how), None, stored)


def certify(store: Store, said: Sequence[PlanExample], **terms: Any) -> Verdict:
    """What people say of the desk's goals, as if the model had said it."""
    known = Known(tuple(PLANS), tuple(said), (True,) * len(said))
    how = Terms(**{"model": "gpt", "reference": "gpt"} | terms)
    return certify_plans(store, "desk", known, senses, how)


def promoted(store: Store, to: Literal["shadow", "serve"] = "serve", **terms: Any) -> str:
    """The same, certified, and serving or in shadow; returns the certificate's id."""
    found = certify(store, examples(120), promise=PromiseOptions(alpha=0.2), **terms)
    promote(store, plans_id("desk"), to, "person", "by hand")
    assert found.certificate is not None
    return found.certificate.id


def plan_for(goal: str) -> str:
    """What a model that is always right writes for a goal of the desk."""
    number = next(iter(re.findall(r"[0-9]+", goal)), "0")
    if "refund" in goal or "pay back" in goal:
        return written(use("p", "pay") | {"arguments": {"amount": int(number)}}, answer("${p}"))
    thing = next(iter(re.findall(r"[a-z]+[0-9]+", goal)), "nothing")
    return written(use("l") | {"arguments": {"what": thing}}, answer("${l}"))


def writes(plan: Callable[[str], str]) -> Callable[[Request], str]:
    """Writes the plan that a function makes of the goal."""
    return lambda request: plan(request.messages[-1].text)


ASKING = ("please", "now", "if you can", "thanks", "today", "at once", "kindly", "again")


def examples(count: int) -> list[PlanExample]:
    found = list[PlanExample]()
    for at in range(count):
        polite, number = ASKING[at % len(ASKING)], 100 + (at * 37) % 900
        if at % 2:
            goal = f"refund {number} {polite}" if at % 3 else f"{polite}, pay back {number}"
            found.append(PlanExample(goal, "refund", {"amount": number}))
        else:
            thing = ("parcel", "letter", "invoice", "box", "order")[at % 5] + f"{number}"
            goal = f"where is {thing} {polite}" if at % 3 else f"{polite} tell me where {thing} is"
            found.append(PlanExample(goal, "status", {"thing": thing}))
    return found
