"""Features are encoded once, stored bit for bit, and a frame's row in a batch depends on its number alone."""

import numpy as np
import torch

from niah.adapters.feature_cache import FeatureCache, Slot, slot_batches
from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey


def test_stored_features_are_the_bits_that_were_encoded(tmp_path):
    cache = FeatureCache(FeatureStore(1 << 20, 0, tmp_path), torch.bfloat16, torch.device("cpu"))
    features = torch.tensor([[0.1, -3.0]], dtype=torch.bfloat16)
    cache.put("a", features)
    assert torch.equal(cache.get("a"), features) and cache.get("b") is None


def test_only_what_is_not_stored_is_encoded(tmp_path):
    cache = FeatureCache(FeatureStore(1 << 20, 0, tmp_path), torch.float32, torch.device("cpu"))
    asked = []

    def encode(items):
        asked.append(list(items))
        return torch.tensor([[float(item)] for item in items])

    for batches in ([[1, 2]], [[2, 3], [1]]):
        found = [(rows.flatten().tolist(), fresh) for rows, fresh in cache.get_or_encode(batches, str, encode)]
    assert found == [([2.0, 3.0], 1), ([1.0], 0)]
    assert asked == [[1, 2], [3]]


def test_what_is_not_stored_is_announced_before_anything_is_encoded(tmp_path):
    cache = FeatureCache(FeatureStore(1 << 20, 0, tmp_path), torch.float32, torch.device("cpu"))
    cache.put("2", torch.zeros(1))
    log = []

    def encode(items):
        log.append(items)
        return torch.zeros(len(items), 1)

    for _ in cache.get_or_encode([[1, 2], [2], [3]], str, encode, announce=lambda items: log.append(("first", items))):
        pass
    assert log == [("first", [1, 3]), [1], [3]]


def test_stored_and_encoded_rows_keep_their_places(tmp_path):
    cache = FeatureCache(FeatureStore(1 << 20, 0, tmp_path), torch.bfloat16, torch.device("cpu"))
    cache.put("2", torch.tensor([2.0], dtype=torch.bfloat16))
    cache.put("4", torch.tensor([4.0], dtype=torch.bfloat16))
    rows = [torch.tensor([[float(item)] for item in items], dtype=torch.bfloat16) for items in ([1, 3],)]
    ((found, fresh),) = cache.get_or_encode([[1, 2, 3, 4]], str, lambda items: rows[0])
    assert (found.flatten().tolist(), fresh) == ([1.0, 2.0, 3.0, 4.0], 2)


def test_asking_whether_a_key_is_stored_does_not_keep_it_from_being_forgotten(tmp_path):
    store = FeatureStore(8, 0, tmp_path)  # room for one
    store.put("a", np.zeros(1))
    assert "a" in store
    store.put("b", np.zeros(1))
    assert ("a" in store, "b" in store) == (False, True)


def test_frames_that_lie_far_apart_are_encoded_together_as_long_as_their_rows_are_free(tmp_path):
    calls = []

    def encode(slots):
        calls.append([slot.frame for slot in slots])
        return torch.tensor([[float(slot.frame)] for slot in slots])

    keys = [FrameKey("a", "", "", "", number) for number in (0, 9, 18, 20, 31)]  # rows 0, 1, 2, 0, 3 of batches of four
    batches = list(slot_batches(keys, range(5), size=4))
    assert len(batches) == 5
    for store in (FeatureStore(1 << 20, 0, tmp_path), None):
        cache = FeatureCache(store, torch.float32, torch.device("cpu"))
        calls.clear()
        found = [
            (rows.tolist(), fresh)
            for rows, fresh in cache.get_or_encode(batches, lambda s: keys[s.frame], encode, row=lambda s: s.place)
        ]
        assert found == [([[float(number)]], 1) for number in range(5)]
        assert calls == [[0, 1, 2], [3, 4]]


def test_without_a_store_everything_is_encoded_and_without_keep_nothing_is_stored(tmp_path):
    def encode(items):
        return torch.zeros(len(items), 1)

    for store in (None, FeatureStore(1 << 20, 0, tmp_path)):
        cache = FeatureCache(store, torch.float32, torch.device("cpu"))
        fresh = [count for _, count in cache.get_or_encode([[1], [1]], str, encode, keep=False)]
        assert fresh == [1, 1]


def test_rows_follow_from_the_frames_number_and_end_where_source_or_batch_changes_or_a_row_is_taken():
    numbers = [("a", 2), ("a", 3), ("a", 4), ("b", 5), ("b", 5)]
    keys = [FrameKey(source, "", "", "", number) for source, number in numbers]
    batches = list(slot_batches(keys, range(5), size=4))
    assert batches == [[Slot(0, 2), Slot(1, 3)], [Slot(2, 0)], [Slot(3, 1)], [Slot(4, 1)]]


def test_a_stride_leaves_no_rows_empty():
    keys = [FrameKey("a", "", "", "", number) for number in range(6)]
    assert list(slot_batches(keys, [0, 2, 4], size=4, stride=2)) == [[Slot(0, 0), Slot(2, 1), Slot(4, 2)]]
