"""The draw of audits."""

import hashlib

import pytest

from shoal.guarantees import draw

_SECRET = b"0123456789abcdef"


def test_a_draw_can_be_repeated() -> None:
    assert [draw(f"call-{i}", 0.5, _SECRET) for i in range(50)] == [
        draw(f"call-{i}", 0.5, _SECRET) for i in range(50)
    ]


def test_all_and_none() -> None:
    assert all(draw(f"call-{i}", 1.0, _SECRET) for i in range(200))
    assert not any(draw(f"call-{i}", 0.0, _SECRET) for i in range(200))


def test_without_the_secret_it_is_not_the_plain_hash() -> None:
    def guess(call_id: str) -> bool:
        digest = hashlib.blake2b(call_id.encode(), digest_size=8, person=b"shoal audit").digest()
        return int.from_bytes(digest) < 2**63

    ids = [f"call-{i}" for i in range(2000)]
    agreement = sum(draw(i, 0.5, _SECRET) == guess(i) for i in ids) / len(ids)
    assert 0.45 < agreement < 0.55


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="audit rate"):
        draw("call", rate, _SECRET)


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 65])
def test_a_secret_that_is_none_is_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        draw("call", 0.5, secret)
