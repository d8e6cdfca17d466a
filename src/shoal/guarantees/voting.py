"""When a vote may stop: the leader of the votes so far is, but for a stated risk, that of them all.

A vote of ``n`` samples of which only the first few have been taken is a draw without replacement:
samples of one model are exchangeable, so their order says nothing. Against every rival ``w`` of a
leader ``l`` there is a bet (Waudby-Smith & Ramdas 2020 and 2024, betting without replacement; one
against one as in Jain et al. 2022, "PAC mode estimation"): with ``a`` votes for the leader, ``b``
for the rival and ``r`` samples still to come, the next vote that goes to one of the two goes to the
leader with a chance of at most

    mu = 1/2 - (a - b) / (2 r)

if the rival is to win or draw in the end. A bet on more than that gains nothing on average as long
as the rival wins, so its wealth reaches ``1/x`` with a chance of at most ``x`` (Ville 1939). Which
answers there will be is not known beforehand: the k-th to appear as a leader may spend 1/(k(k+1))
of the risk, and its bets begin once it has appeared. Where mu is 0 or less the vote cannot turn.

What this module does not know: whether the vote of them all is right.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from shoal.guarantees.bounds import require_rate


class Standing(Struct, frozen=True):
    """The vote so far. ``leader`` is the answer with the most votes, the first of those equally
    common to appear, None if there is no vote; ``certain`` says that no order of what is to come
    can turn it, ``settled`` that the risk of that is at most what was stated (or that it is
    certain)."""

    leader: int | None
    certain: bool
    settled: bool


def standing(votes: Sequence[int | None], n: int, risk: float) -> Standing:
    """What may be said of a vote of ``n`` samples after those of ``votes``.

    ``votes`` are the answers' numbers in the order in which the samples were taken, whatever these
    are called; None for a sample that says nothing. Asked after every sample, or every few, the
    chance that it ever settles on another leader than the whole vote has is at most ``risk``;
    with a risk of 0 only what cannot turn is settled.

    >>> standing([1, 1, 1], n=5, risk=0.0).certain
    True
    >>> standing([1, 1, 1, 1, 1], n=11, risk=0.05)
    Standing(leader=1, certain=False, settled=True)

    Raises:
        ValueError: more votes than ``n``, or ``risk`` outside [0, 1).
    """
    if risk:
        require_rate("risk", risk)
    if len(votes) > n:
        raise ValueError(f"expected at most {n} votes, got {len(votes)}")
    counts: dict[int, int] = {}
    for vote in votes:
        if vote is not None:
            counts[vote] = counts.get(vote, 0) + 1
    if not counts:
        return Standing(None, False, len(votes) == n)
    leader = max(counts, key=lambda vote: counts[vote])  # the first to appear among equals
    left = n - len(votes)
    rivals: list[int | None] = [*(vote for vote in counts if vote != leader), None]
    if all(_is_beaten(counts, leader, rival, left) for rival in rivals):
        return Standing(leader, True, True)
    if not risk:
        return Standing(leader, False, False)
    rank = [*counts].index(leader) + 1
    needed = -math.log(risk / (rank * (rank + 1)))
    settled = all(log_wealth(votes, n, leader, rival) >= needed for rival in rivals)
    return Standing(leader, False, settled)


def log_wealth(votes: Sequence[int | None], n: int, leader: int, rival: int | None) -> float:
    """The highest logarithm so far of the wealth of the bet that ``leader`` beats ``rival`` (None:
    one that has not appeared) in a vote of ``n``; begun when the leader had its first vote."""
    own = other = 0
    wealth = best = 0.0
    for at, vote in enumerate(votes):
        if vote == leader and own == 0:
            own = 1
            continue
        if vote is not None and vote in (leader, rival):
            if own and own >= other:
                wealth += _gain(own, other, n - at, vote == leader)
                best = max(best, wealth)
            own, other = own + (vote == leader), other + (vote != leader)
    return best


def fewest(votes: Sequence[int | None], n: int, risk: float) -> int:
    """The fewest samples that could still settle the vote: those with which it would be, if all of
    them said what the leader says (0 if it is settled)."""
    found = standing(votes, n, risk)
    leader = 0 if found.leader is None else found.leader
    taken = [*votes]
    while not standing(taken, n, risk).settled:
        taken.append(leader)
    return len(taken) - len(votes)


def _is_beaten(counts: dict[int, int], leader: int, rival: int | None, left: int) -> bool:
    """Whether the rival comes after the leader even with all votes that are ``left``."""
    ahead = counts[leader] - (0 if rival is None else counts[rival])
    order = [*counts]  # in which they appeared, for a draw is won by the first
    is_first = rival is None or order.index(leader) < order.index(rival)
    return ahead > left or (ahead == left and is_first)


def _gain(own: int, other: int, left: int, for_leader: bool) -> float:
    """What the next vote for one of the two brings: a bet on the share so far (Krichevsky &
    Trofimov 1981), at no less than the chance that the rival's victory would leave."""
    chance = 0.5 - (own - other) / (2.0 * left)
    if chance <= 0.0:
        return math.inf if for_leader else 0.0
    bet = max(chance, (own + 0.5) / (own + other + 1.0))
    return math.log(bet / chance) if for_leader else math.log((1.0 - bet) / (1.0 - chance))
