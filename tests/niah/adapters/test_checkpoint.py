"""A checkpoint that does not fit is refused with every misfit named; one that fits is loaded bit for bit."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from niah.adapters.checkpoint import check_layout, load_into, locate, on_meta_device, read_tokenizer
from niah.adapters.config_reader import read_config
from niah.adapters.tensors import tensors
from niah.types import UserError
from tests.helpers import byte_tokenizer


class Two(nn.Module):
    """Two linear maps and a computed table."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 2, bias=False)
        self.register_buffer("table", torch.arange(3.0), persistent=False)


def build():
    with on_meta_device():
        return Two()


def state():
    return {
        "m.first.weight": torch.arange(6.0).view(3, 2),
        "m.first.bias": torch.ones(3),
        "m.second.weight": torch.full((2, 3), 2.0),
    }


def rename(name):
    return name.removeprefix("m.")


def write(folder, found):
    save_file(found, folder / "model.safetensors")
    return tensors(folder)


def shard(folder, parts):
    """Write each part as a shard, and the index."""
    places = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(part, folder / file)
        places.update(dict.fromkeys(part, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_weights_arrive_bit_for_bit_and_tables_stay(tmp_path):
    module = build()
    assert module.first.weight.is_meta and not module.table.is_meta
    load_into(module, write(tmp_path, state()), rename)
    assert torch.equal(module.first.weight, torch.arange(6.0).view(3, 2))
    assert module.table.tolist() == [0, 1, 2]
    assert not module.training and not module.first.weight.requires_grad


def test_weights_are_cast_to_the_dtype_asked_for(tmp_path):
    module = build()
    load_into(module, write(tmp_path, {k: v.bfloat16() for k, v in state().items()}), rename, dtype=torch.float64)
    assert module.second.weight.dtype == torch.float64


def test_every_misfit_is_named_at_once(tmp_path):
    wrong = state()
    del wrong["m.first.bias"]
    wrong["m.extra"] = torch.ones(1)
    wrong["m.second.weight"] = torch.ones(2, 4)
    with pytest.raises(UserError) as caught:
        load_into(build(), write(tmp_path, wrong), rename)
    words = str(caught.value)
    assert "in 3 places" in words
    assert "missing m.first.bias [3]" in words
    assert "unexpected m.extra [1]" in words
    assert "m.second.weight has shape [2, 4], the config wants [2, 3]" in words


def test_integers_where_weights_belong_are_a_misfit(tmp_path):
    wrong = {**state(), "m.first.bias": torch.ones(3, dtype=torch.int64)}
    with pytest.raises(UserError, match="m.first.bias holds I64, wanted floating-point"):
        load_into(build(), write(tmp_path, wrong), rename)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    wrong = state()
    wrong["m.first.bias"][1] = float("nan")
    wrong["m.second.weight"][0, 0] = float("inf")
    with pytest.raises(UserError, match=r"m\.first\.bias\n  m\.second\.weight"):
        load_into(build(), write(tmp_path, wrong), rename)


def test_a_weight_too_large_for_the_dtype_is_refused(tmp_path):
    wrong = {**state(), "m.first.bias": torch.full((3,), 1e6)}
    with pytest.raises(UserError, match="as torch.float16"):
        load_into(build(), write(tmp_path, wrong), rename, dtype=torch.float16)


def test_unused_tensors_may_be_there(tmp_path):
    found = write(tmp_path, {**state(), "m.rotary.inv_freq": torch.full((1,), float("nan"))})
    load_into(build(), found, rename, unused=("*.inv_freq",))


def test_tied_tensors_need_to_be_there_once(tmp_path):
    module = build()
    module.again = module.second
    load_into(module, write(tmp_path, state()), rename)
    assert module.again.weight is module.second.weight or torch.equal(module.again.weight, module.second.weight)


def test_a_layout_is_checked_without_weights():
    layout = {name: tuple(tensor.shape) for name, tensor in state().items()}
    check_layout(build(), layout, rename)
    with pytest.raises(UserError, match=r"m.first.weight has shape \[2, 3\]"):
        check_layout(build(), {**layout, "m.first.weight": (2, 3)}, rename)


def test_shards_are_read_as_one(tmp_path):
    whole = state()
    shard(tmp_path, [{"m.first.bias": whole.pop("m.first.bias")}, whole])
    module = build()
    load_into(module, tensors(tmp_path), rename)
    assert module.first.bias.tolist() == [1, 1, 1]


def test_a_missing_shard_is_named(tmp_path):
    whole = state()
    shard(tmp_path, [{"m.first.bias": whole.pop("m.first.bias")}, whole])
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="not there: model-00001-of-00002.safetensors"):
        tensors(tmp_path)


def test_a_truncated_shard_is_named(tmp_path):
    whole = state()
    shard(tmp_path, [{"m.first.bias": whole.pop("m.first.bias")}, whole])
    cut = tmp_path / "model-00002-of-00002.safetensors"
    cut.write_bytes(cut.read_bytes()[:-3])
    with pytest.raises(UserError, match="model-00002-of-00002.safetensors is damaged or cut short"):
        tensors(tmp_path)


def test_an_index_that_promises_more_than_its_shards_hold_is_refused(tmp_path):
    shard(tmp_path, [state()])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("m.first.bias", "m.first.bias2"))
    with pytest.raises(UserError, match="lack: m.first.bias2 of model-00001-of-00001.safetensors"):
        tensors(tmp_path)


@pytest.mark.parametrize("place", ["config.json", "../model.safetensors", "notes.txt"])
def test_an_index_that_names_something_else_than_shards_is_refused(tmp_path, place):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": place}}))
    with pytest.raises(UserError, match=r"must name shards \(.safetensors or .bin\) that lie beside it, got "):
        tensors(tmp_path)


@pytest.mark.parametrize("places", [5, ["a"], {"a": 5}, {"a": None}])
def test_an_index_of_another_shape_is_refused(tmp_path, places):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(UserError, match="is no index of shards"):
        tensors(tmp_path)


@pytest.mark.parametrize("text", [b"", b"# notes", b"{}", b"\x80\x02", b"PK\x03\x04 no archive"])
def test_a_bin_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "pytorch_model.bin").write_bytes(text)
    with pytest.raises(UserError, match="pytorch_model.bin is damaged"):
        tensors(tmp_path)


def test_a_bin_file_is_read_as_weights_only(tmp_path):
    torch.save(state(), tmp_path / "pytorch_model.bin")
    module = build()
    load_into(module, tensors(tmp_path), rename)
    assert module.second.weight[0, 0] == 2


class Surprise:
    """What a pickle could do."""

    def __reduce__(self):
        return print, ("this must never be printed",)


def test_a_bin_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"m": Surprise()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="pytorch_model.bin is damaged, or holds more than tensors"):
        tensors(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_folder_without_weights_says_what_was_wanted(tmp_path):
    with pytest.raises(UserError, match="wanted model.safetensors or pytorch_model.bin"):
        tensors(tmp_path)


def test_a_name_that_is_neither_folder_nor_hub_name_is_refused():
    with pytest.raises(UserError, match="no folder 'nowhere'"):
        locate("nowhere")


def test_a_hub_name_without_a_network_says_what_to_download(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hf download nobody/nothing-of-the-kind --local-dir"):
        locate("nobody/nothing-of-the-kind")


@pytest.mark.parametrize("text, words", [(None, "holds no config.json"), ("{", "is no JSON"), ("[]", "JSON object")])
def test_an_odd_config_is_refused(tmp_path, text, words):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=words):
        read_config(tmp_path)


@pytest.mark.parametrize("vocabulary, ids", [(320, [256, 104, 195, 169, 257]), (110, [107, 104, 0, 0, 108])])
def test_a_byte_tokenizer_gives_bytes_their_own_ids_and_0_where_there_are_too_few(tmp_path, vocabulary, ids):
    byte_tokenizer.write(tmp_path, vocabulary)
    assert read_tokenizer(tmp_path)("<|im_start|>hé<|im_end|>").input_ids == ids


@pytest.mark.parametrize("vocabulary", [100, 256, 320])
def test_no_id_of_a_byte_tokenizer_stands_for_two_tokens(tmp_path, vocabulary):
    byte_tokenizer.write(tmp_path, vocabulary)
    vocab = read_tokenizer(tmp_path).get_vocab()
    assert sorted(vocab.values()) == list(range(min(vocabulary, 259)))


def test_a_folder_without_tokenizer_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no tokenizer"):
        read_tokenizer(tmp_path)


def test_a_missing_tensor_is_called_as_the_checkpoint_would_where_renaming_adds_a_prefix():
    with on_meta_device():
        module = nn.ModuleDict({"language": Two()})
    layout = {"second.weight": (2, 3), "first.bias": (3,)}
    with pytest.raises(UserError, match=r"missing first\.weight \[3, 2\]"):
        check_layout(module, layout, lambda name: f"language.{name}")


def sentencepiece_folder(folder):
    """Write a tokenizer as LLaMA's: one file of sentencepiece, which falls back to bytes and keeps every space."""
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    text = folder / "text.txt"
    text.write_text("\n".join(f"the film shows {n} cats on a mat, and what do they do then?" for n in range(200)))
    trainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), vocab_size=340, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}')


@pytest.mark.parametrize("words", ["the film shows cats", "two  spaces\nA line", "é ü 猫 USER: (B)", "A", ""])
def test_a_tokenizer_of_sentencepiece_alone_gives_its_ids(tmp_path, words):
    sentencepiece_folder(tmp_path)
    import sentencepiece

    own = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    assert read_tokenizer(tmp_path)(words).input_ids == [own.bos_id(), *own.encode(words)]


def test_without_sentencepiece_its_tokenizer_is_refused_with_the_package(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.model").write_bytes(b"")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    monkeypatch.setattr("niah.extras.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"tokenizer.model.* needs the package sentencepiece.*videoniah\[sentencepiece\]"
    ):
        read_tokenizer(tmp_path)
