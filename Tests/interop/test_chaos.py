"""A short run of what `make chaos` does at length."""

import os
import random

from chaos import Chaos


def test_kills_of_all_services_lose_and_double_nothing():
    seed = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(2**32)))
    print(f"\nseed {seed} (repeat with BUDDY_TEST_SEED={seed})")
    assert Chaos(kills=15, seed=seed, submitters=12, limit=120).run() == []
