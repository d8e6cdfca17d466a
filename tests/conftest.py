"""What tests of several parts share: an encoder without weights, and the real one where it is."""

import pytest
from hypothesis import HealthCheck, settings

from shoal.encoder import Encoder
from shoal.errors import ArtifactError
from shoal.specialists.senses import Senses
from tiny_encoder import TinyEncoder, tiny_senses

# A busy machine makes an example slow, not wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def senses() -> Senses:
    """The senses of an encoder that hashes words: quick, and knows nothing."""
    return tiny_senses(TinyEncoder())


@pytest.fixture(scope="session")
def real_encoder() -> Encoder:
    try:
        return Encoder()
    except ArtifactError as error:
        pytest.skip(f"the encoder's weights are missing: {error}")
