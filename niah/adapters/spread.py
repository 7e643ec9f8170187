"""Spread the layers of a language model over several cards; the rest of the model stays on the first.

`accelerate` divides them by the memory that is free, and its hooks bring to a module's device what it is called with.
A layer that fits on no card waits in host memory and comes to the first card when it is called. Loops that take a layer
apart (keys before queries, a cache of their own) meet its device inside: there `enter` goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from niah.extras import require
from niah.settings import unknown_name
from niah.types import UserError

RULES = ("auto", "balanced", "balanced_low_0", "sequential")  # as accelerate names them
Places = Mapping[str, str]  # what the names of a layer's tensors begin with -> its device


def check_device_map(rule: str | None) -> None:
    """Raise UserError for what is no rule, and where the package that knows them is not installed."""
    if rule is None:
        return
    if rule not in RULES:
        raise UserError(unknown_name("device_map", str(rule), RULES))
    require("accelerate", f"device_map={rule}")


def first_device(device: str, rule: str | None) -> str:
    """Return where all but the layers goes: with a rule the first card, if there is one, whatever `device` says."""
    return "cuda:0" if rule is not None and torch.cuda.is_available() else device


def plan(model: nn.Module, layers: str, dtype: torch.dtype, rule: str | None) -> Places:
    """Return the device of each layer by the memory that is free now; nothing without a rule.

    Raises UserError where the cards and the host's memory together are too small.

    Args:
        model: The whole model; without memory, so that each weight can be loaded to its place.
        layers: The name of its language model's list of layers.
        dtype: What weights are converted to.
        rule: One of RULES.
    """
    return {} if rule is None else divide(model, layers, dtype, rule)


def divide(
    model: nn.Module, layers: str, dtype: torch.dtype, rule: str, free: dict[int | str, int] | None = None
) -> Places:
    """Return the device of each layer, given bytes by card and on the host ("cpu"); None: what is free now."""
    sizing: Any = import_module("accelerate.utils")  # optional, and annotated with types that it does not take
    stack: Any = model.get_submodule(layers)
    kinds = [type(stack[0]).__name__]
    if rule == "sequential":
        room = sizing.get_max_memory(free)
    else:
        room = sizing.get_balanced_memory(model, free, kinds, dtype, low_zero=rule == "balanced_low_0")
    whole, spread = (sizing.compute_module_sizes(part, dtype=dtype)[""] for part in (model, stack))
    if 0 in room:  # the first card, which has everything else
        room[0] = max(0, room[0] - (whole - spread))
    found = sizing.infer_auto_device_map(stack, room, kinds, dtype=dtype)
    devices = [found.get(str(number), found.get("")) for number in range(len(stack))]
    if "disk" in devices:
        raise UserError(
            f"{whole / 2**30:.1f} GiB of weights in {dtype} are more than the cards and the host's memory hold "
            f"together ({devices.count('disk')} of {len(stack)} layers are left over): use more cards"
        )
    names = [f"cuda:{device}" if isinstance(device, int) else str(device) for device in devices]
    return {f"{layers}.{number}.": name for number, name in enumerate(names)}


def dispatch(model: nn.Module, layers: str, device: str | torch.device, places: Places) -> None:
    """Have hooks move what enters the layers, and what leaves the last; without places do nothing.

    Args:
        model: The whole model, its weights loaded to their places.
        layers: The name of its language model's list of layers.
        device: Where everything else is.
        places: What `plan` returned.
    """
    if not places:
        return
    accelerate: Any = import_module("accelerate")
    parent, _, own = layers.rpartition(".")
    stack = model.get_submodule(parent)
    beside = {name: str(device) for name, _ in stack.named_children() if name != own}
    spread = {place[len(parent) + 1 : -1]: where for place, where in places.items()}
    accelerate.dispatch_model(stack, {**beside, **spread}, main_device=str(device))


def device_of(layer: nn.Module) -> torch.device:
    """Return where a layer computes, which is not where its weights are while these wait on the host."""
    hook = vars(layer).get("_hf_hook")  # accelerate's
    return next(layer.parameters()).device if hook is None else torch.device(hook.execution_device)


def enter(layer: nn.Module, *parts: Any) -> tuple[Any, ...]:
    """Return tensors, or what has a method `to` as they have, on the device where a layer computes."""
    device = device_of(layer)
    return tuple(part.to(device) for part in parts)
