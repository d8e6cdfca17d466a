"""The card: what is known of one trained specialist."""

from msgspec import Struct

from shoal.tasks.contract import Contract


class TokenRates(Struct, frozen=True):
    """From the LLM's own counts on the task's calls: what it would have used for a call.

    ``per_character`` is input tokens per character of the request's messages, ``output`` the mean
    number of output tokens.
    """

    per_character: float
    output: float


class Card(Struct, frozen=True):
    """A specialist's identity and origin; immutable.

    ``task`` is the task's id, ``llm`` the model whose answers it learned, ``encoder`` the digest of
    the encoder it was trained with ("" if it needs none), ``artifact`` the digest of its files.
    ``agreement`` is the share of its examples on which, unseen, it gave the reference answer.
    ``made_up`` examples, which are not among ``examples``, the LLM made up to train on.
    """

    id: str
    task: str
    kind: str
    recipe: str
    contract: Contract
    llm: str
    encoder: str
    artifact: str
    examples: int
    agreement: float
    data_digest: str
    trained_at: float
    cpu_seconds: float
    rates: TokenRates | None = None
    made_up: int = 0
