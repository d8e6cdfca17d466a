"""Who calls, and what they may do."""

from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import NotAllowed

Scope = Literal["call", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


class KeySpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may do.

    ``scopes``: "call" asks models and gives feedback, "read" sees calls and spend, "admin" makes
    and revokes keys and reads too. ``models``, ``tasks``, ``collections`` and ``tools`` are names;
    none means any. ``rpm`` and ``tpm`` are requests and tokens a minute, budgets USD by day and
    calendar month in UTC; None means no limit.
    """

    scopes: tuple[Scope, ...] = ("call",)
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    budget_day: float | None = None
    budget_month: float | None = None


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls: the key's id and name, "" on a gateway without keys. ``max_cost`` is the USD that
    this one call may cost at most, None if that was not said."""

    key: str = ""
    name: str = ""
    spec: KeySpec = KeySpec()
    max_cost: float | None = None

    def require(self, scope: Scope) -> None:
        """Refuse what the key has no scope for.

        Raises:
            NotAllowed: it lacks ``scope``.
        """
        has = self.spec.scopes
        if scope not in has and not (scope == "read" and "admin" in has):
            raise NotAllowed(
                f"{self._called()} has the scope {', '.join(has)}; this needs {scope}",
                "insufficient_scope",
            )

    def require_model(self, model: str) -> None:
        """Refuse a model that the key is not for.

        Raises:
            NotAllowed: it is not among its ``models``.
        """
        if self.spec.models and model not in self.spec.models:
            raise NotAllowed(
                f"{self._called()} may not ask {model!r}, only: {', '.join(self.spec.models)}",
                "model_not_allowed",
                "model",
            )

    def allowed(self, model: str) -> "Caller":
        """The same caller, who may ask ``model`` too: for what is asked on the caller's behalf."""
        if not self.spec.models or model in self.spec.models:
            return self
        return replace(self, spec=replace(self.spec, models=(*self.spec.models, model)))

    def require_task(self, task: str) -> None:
        """Refuse a call of a task, by name ("" for none known), that the key is not for.

        Raises:
            NotAllowed: it is not among its ``tasks``.
        """
        if self.spec.tasks and task not in self.spec.tasks:
            found = f"this call is of the task {task!r}" if task else "this call is of no known one"
            raise NotAllowed(
                f"{self._called()} is for the tasks {', '.join(self.spec.tasks)} only; {found}",
                "task_not_allowed",
            )

    def require_collection(self, collection: str) -> None:
        """Refuse a collection, by name, that the key is not for; whether there is one is not told.

        Raises:
            NotAllowed: it is not among its ``collections``.
        """
        own = self.spec.collections
        if own and collection not in own:
            raise NotAllowed(
                f"{self._called()} may not use the collection {collection!r}, only: "
                f"{', '.join(own)}",
                "collection_not_allowed",
            )

    def _called(self) -> str:
        return f"the key {self.name!r}" if self.key else "a caller without a key"


ANYBODY = Caller(spec=KeySpec(scopes=("call", "read")))
"""Who calls a gateway without keys, on loopback: admin takes a key."""
