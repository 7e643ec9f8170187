"""Find a published checkpoint and its tokenizer, and load its tensors into a module one at a time.

A module is built on the meta device, so that a checkpoint which does not fit is refused before memory is spent, with
every mismatch named at once; then each tensor is read, moved and dropped before the next: loading holds the weights
once and one tensor besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from niah.adapters.config_reader import read_config
from niah.adapters.spread import Places
from niah.adapters.tensors import FLOATS, TensorSource
from niah.adapters.trace import is_traced
from niah.extras import require
from niah.types import UserError

Rename = Callable[[str], str]  # a tensor's name in the checkpoint -> its name in the module
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")


def locate(name: str) -> Path:
    """Return the folder of a checkpoint: a local one, or a hub name ("owner/model"), downloaded where needed.

    Raises UserError saying what to download and where to put it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"no folder {name!r}: wanted a folder with config.json and weights, or a hub name 'owner/model'"
        )
    from huggingface_hub import snapshot_download  # here: a local folder needs no hub
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name))
    except (OSError, HFValidationError) as error:  # every failure of the network or the hub is an OSError
        raise UserError(
            f"there is no folder {name!r} here, and as a checkpoint of the hub it is not on this machine and could "
            f"not be downloaded ({type(error).__name__}). Where there is a network, run: "
            f"hf download {name} --local-dir {name.partition('/')[2]} "
            "and give that folder in place of the name (pretrained=FOLDER)."
        ) from error


def read_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a checkpoint's language model.

    Not through `AutoTokenizer`: that first reads the folder's `model_type`, and the type of a published video model
    ("llava_qwen") is known only to its own code. Raises UserError where there is no tokenizer, or one of a class that
    `transformers` lacks.
    """
    import transformers

    if not (folder / "tokenizer_config.json").is_file() or not any(
        (folder / name).is_file() for name in TOKENIZER_FILES
    ):
        raise UserError(
            f"{folder.name} holds no tokenizer: wanted tokenizer_config.json and one of {', '.join(TOKENIZER_FILES)}; "
            "a released checkpoint carries them, so copy them from there"
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES[:2]):
        require("sentencepiece", f"tokenizer.model, the only tokenizer {folder.name} holds,")
    name = read_config(folder, "tokenizer_config.json").get("tokenizer_class", "PreTrainedTokenizerFast")
    kind = getattr(transformers, str(name), None)
    if kind is None:
        raise UserError(f"tokenizer_config.json of {folder.name} names the class {name!r}, which transformers lacks")
    try:
        return kind.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"the tokenizer files of {folder.name} cannot be read ({error}): copy them again") from error


class on_meta_device(TorchFunctionMode):
    """Build modules whose parameters take no memory: within this context they are made on the meta device.

    Unlike `torch.device("meta")` it leaves computed constants (`arange`, `tensor`) real, so that tables
    which no checkpoint holds, like rotary frequencies, need not be computed again.
    """

    VALUELESS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Send a factory's result to the meta device."""
        kwargs = dict(kwargs or {})
        if func in self.VALUELESS:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def load_into(
    module: nn.Module,
    found: Mapping[str, TensorSource],
    rename: Rename = str,
    *,
    unused: Iterable[str] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    original: Rename | None = None,
    places: Places = MappingProxyType({}),
) -> None:
    """Load a checkpoint into a module built `on_meta_device`, for evaluation, without gradients.

    Raises UserError listing all mismatches (missing, unexpected, wrong shape, wrong kind of number), or naming every
    tensor that holds NaN or infinity.

    Args:
        module: The module to fill; all its parameters and buffers are replaced or moved.
        found: The checkpoint's tensors by name, as `niah.adapters.tensors.tensors` lists them.
        rename: Maps a name in the checkpoint to a name in the module.
        unused: Patterns (`*`) of checkpoint names that may be there and are not read.
        device: Where the weights go.
        dtype: What they are converted to.
        original: Undoes `rename`, so that a missing tensor is reported by the name it has in a checkpoint.
        places: Other devices, by what the names of the module's tensors begin with.
    """
    wrong = mismatches(module, {name: source.shape for name, source in found.items()}, rename, unused, original)
    wrong += [
        f"{name} holds {source.dtype}, wanted floating-point numbers of 16 bits or more"
        for name, source in found.items()
        if source.dtype not in FLOATS and not _matches(name, unused)
    ]
    _refuse(wrong)
    for name in (name for name, _ in module.named_buffers()):
        _replace(module, name, module.get_buffer(name).to(device))
    broken = []
    shared = _shared(module)
    for name in sorted(found, key=lambda name: found[name].file):
        if _matches(name, unused):
            continue
        where = next((place for start, place in places.items() if rename(name).startswith(start)), device)
        tensor = found[name].read().to(where, dtype)
        if not is_finite(tensor):
            broken.append(name)
        for place in shared[rename(name)]:
            _replace(module, place, tensor)
    if broken:
        raise UserError(
            f"{len(broken)} tensors hold NaN or infinity (as {dtype}), so every answer would be nonsense: "
            + _listed(sorted(broken))
            + "\nDownload the checkpoint again, or load it with a wider dtype."
        )
    module.requires_grad_(False).eval()


def fill_at_random(module: nn.Module, device: str | torch.device, dtype: torch.dtype) -> None:
    """Fill a module built `on_meta_device` with small random numbers, made on the device one tensor at a time.

    For benchmarks: memory and time do not depend on values. Buffers move to the device as they are.
    """
    generator = None if is_traced() else torch.Generator(device).manual_seed(0)
    shared = _shared(module)
    for name, parameter in list(module.named_parameters()):
        drawn = torch.empty(parameter.shape, device=device, dtype=dtype).normal_(0, 0.02, generator=generator)
        for place in shared[name]:
            _replace(module, place, drawn)
    for name, table in list(module.named_buffers()):
        _replace(module, name, table.to(device))
    module.requires_grad_(False).eval()


def check_layout(
    module: nn.Module,
    layout: Mapping[str, tuple[int, ...]],
    rename: Rename = str,
    unused: Iterable[str] = (),
    original: Rename | None = None,
) -> None:
    """Compare names and shapes of a checkpoint with a module. Raises UserError listing all mismatches."""
    _refuse(mismatches(module, layout, rename, unused, original))


def mismatches(
    module: nn.Module,
    layout: Mapping[str, tuple[int, ...]],
    rename: Rename = str,
    unused: Iterable[str] = (),
    original: Rename | None = None,
) -> list[str]:
    """Return one sentence for each tensor that a checkpoint lacks, has in excess, or has in another shape.

    Of tensors that the module ties together, one is enough.

    Args:
        module: What the tensors are to be loaded into.
        layout: Name and shape of each tensor of the checkpoint.
        rename: Maps a name in the checkpoint to a name in the module.
        unused: Patterns (`*`) of checkpoint names that may be there and are not read.
        original: Undoes `rename` for missing tensors; without it their names are derived from a neighbour's.
    """
    unused = tuple(unused)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict(keep_vars=True).items()}
    shared = _shared(module)
    words: list[str] = []
    seen: set[str] = set()
    for name, shape in sorted(layout.items()):
        if _matches(name, unused):
            continue
        place = rename(name)
        if place not in wanted:
            words.append(f"unexpected {name} {list(shape)}")
            continue
        seen.update(shared[place])
        if tuple(shape) != wanted[place]:
            words.append(f"{name} has shape {list(shape)}, the config wants {list(wanted[place])}")
    missing = sorted(set(wanted) - seen)
    called = {place: original(place) if original else _original(place, layout, rename) for place in missing}
    return [f"missing {called[place]} {list(wanted[place])}" for place in missing] + words


def _shared(module: nn.Module) -> dict[str, list[str]]:
    """Return for each tensor of a module all names it has: several where it is tied."""
    state = module.state_dict(keep_vars=True)
    names: dict[int, list[str]] = {}
    for name, tensor in state.items():
        names.setdefault(id(tensor), []).append(name)
    return {name: names[id(tensor)] for name, tensor in state.items()}


def _original(place: str, layout: Mapping[str, Any], rename: Rename) -> str:
    """Return what the checkpoint would call a tensor of the module, derived from a neighbour's name."""
    head = place.rpartition(".")[0]
    while head:
        for name in layout:
            renamed = rename(name)
            tail = renamed[len(head) + 1 :]
            if renamed.startswith(head + ".") and name.endswith(tail):
                return name[: len(name) - len(tail)] + place[len(head) + 1 :]
        head = head.rpartition(".")[0]
    return place


def _refuse(words: list[str]) -> None:
    if words:
        raise UserError(f"the weights do not fit the config in {len(words)} places:{_listed(words)}")


def _listed(words: list[str], limit: int = 200) -> str:
    """Return one line each, at most `limit`; a checkpoint of another model has thousands."""
    more = [f"... and {len(words) - limit} more"] if len(words) > limit else []
    return "".join(f"\n  {line}" for line in [*words[:limit], *more])


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_finite(tensor: torch.Tensor) -> bool:
    """Return True if no number is NaN or infinite. Unlike `isfinite` on all of it, this makes no second tensor."""
    return tensor.numel() == 0 or all(bool(end.isfinite()) for end in tensor.aminmax())  # NaN is both ends, where it is


def _replace(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer."""
    parent, _, leaf = name.rpartition(".")
    owner = module.get_submodule(parent)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor
