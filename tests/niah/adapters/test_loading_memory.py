"""Loading holds the weights once: what else is alive meanwhile is small beside them."""

import weakref

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from niah.adapters.checkpoint import is_finite, load_into, on_meta_device
from niah.adapters.tensors import tensors


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that operators made, and the most there were at once."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for storage in (leaf.untyped_storage() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)):
            if storage not in self.known and storage.device.type != "meta":
                self.known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def free(self, size):
        self.now -= size


def test_loading_makes_no_second_tensor_of_the_largest_one(tmp_path):
    # an embedding is most of a checkpoint of few layers: as in one of true width, where a check of it took half as much
    with on_meta_device():
        module = nn.ModuleDict({"embed": nn.Embedding(1000, 512), "head": nn.Linear(512, 8, bias=False)})
    state = {"embed.weight": torch.randn(1000, 512).half(), "head.weight": torch.randn(8, 512).half()}
    weights = sum(2 * tensor.numel() for tensor in state.values())
    save_file(state, tmp_path / "model.safetensors")
    del state
    with Alive() as alive:
        load_into(module, tensors(tmp_path), dtype=torch.float16)
    assert torch.equal(module["embed"].weight[0], tensors(tmp_path)["embed.weight"].read()[0])
    assert alive.peak <= 1.1 * weights


def test_a_number_that_is_not_finite_is_found_at_every_place_and_width():
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for broken in (float("nan"), float("inf"), -float("inf")):
            for place in (0, 500, 999):
                tensor = torch.ones(1000, dtype=dtype)
                assert is_finite(tensor)
                tensor[place] = broken
                assert not is_finite(tensor)
    assert is_finite(torch.empty(0))
