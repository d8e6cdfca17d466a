"""How many tokens a request has: by its upstream's own count if there is one, else counted here.

The policy of calls goes before. But it is no call: nothing is recorded, and nothing spent.
"""

from shoal.assembly.counting import Counting
from shoal.assembly.purse import Purse
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Roster
from shoal.assembly.shield import shield
from shoal.chat import Request
from shoal.engines import TokenCounter
from shoal.formats.messages.token_counts import encode_count
from shoal.routing.caller import Caller
from shoal.routing.receipt import ServedReply


async def count_tokens(
    request: Request,
    caller: Caller,
    regime: Regime,
    roster: Roster,
    purse: Purse,
    counting: Counting,
) -> ServedReply:
    """The count. No other model stands in for one that fails: each counts in its own way.

    Raises:
        UnknownModel, NotAllowed, PrivacyRefused, RateLimited: as for calls.
        NoAnswerer: the model that would have to count may not see the request.
        EngineError: it could not count.
    """
    model = regime.models.get(request.model)
    caller.require_model(model.name)
    model = model.members[0] if model.members else model  # what one call of it takes
    shielded = await shield(request, regime.privacy)
    found = roster.find(request)
    caller.require_task(found[1].task.name if found else "")
    allowance = purse.admit_request(caller)
    told = shielded.request_for(model)
    counted = None
    if isinstance(model.engine, TokenCounter) and model.engine.counts_tokens:
        shielded.check(model)
        counted = await model.engine.count_tokens(told)
    if counted is not None:
        return ServedReply(counted.body, counted.request_id, limits=allowance.headers)
    usage = await counting.request(told, model)
    estimated = usage.estimated or told is not request  # with what stands in for what was taken out
    body = encode_count(usage.input_tokens)
    return ServedReply(body, estimated=estimated, limits=allowance.headers)
