"""A short run of what `make chaos` does at length."""

import os
import random

from watch_chaos import WatchChaos


def test_four_transcripts_of_each_mission_are_one_whatever_is_killed():
    seed = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(2**32)))
    print(f"\nseed {seed} (repeat with BUDDY_TEST_SEED={seed})")
    chaos = WatchChaos(kills=12, missions=30, seed=seed, workers=8, limit=120)
    assert chaos.run() == []
    assert chaos.ended == 30 and sum(chaos.killed.values()) == 12
