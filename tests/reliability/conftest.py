"""What the tests of reliability share."""

import os
import random

import pytest


@pytest.fixture
def rng():
    """Return random moments; a failure shows the seed, and THONGSUOT_SEED brings them again."""
    seed = int(os.environ.get("THONGSUOT_SEED") or random.randrange(2**32))
    print(f"THONGSUOT_SEED={seed}")
    return random.Random(seed)
