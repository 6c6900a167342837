"""A LoRA adapter is added to the weights that it belongs to, or a message says why it can't be."""

import json
import logging

import pytest
import torch
from torch import nn

from landscape_lib import InputError, load_checkpoint

NAMED = "base_model.model."


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.inner = nn.Linear(4, 5)
        self.outer = nn.Linear(5, 3)

    def forward(self, words):
        return self.outer(self.inner(self.words(words)).relu().mean(1))


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))


PAIR = {f"{NAMED}inner.lora_A.weight": drawn(2, 4), f"{NAMED}inner.lora_B.weight": drawn(5, 2)}


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    torch.save(Network().state_dict(), tmp_path / "base.pt")
    return tmp_path / "base.pt"


def adapter(folder, factors, **settings):
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    torch.save(factors, folder / "adapter_model.bin")
    return folder


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 6 / 2),
        ({"use_rslora": True}, 6 / 2**0.5),
        ({"alpha_pattern": {"outer": 1, "in.*": 8}}, 8 / 2),
        ({"r": 64, "rank_pattern": {"inner": 2}}, 6 / 2),  # the factors say how many rows they have
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_factors_are_added_with_their_scale(base, tmp_path, settings, scale, dtype, caplog):
    caplog.set_level(logging.INFO)
    state = {n: t.to(dtype) for n, t in torch.load(base, weights_only=True).items()}
    torch.save(state, base)
    found = load_checkpoint(base, Network(), adapter(tmp_path, PAIR, **settings))
    down, up = (tensor.double() for tensor in PAIR.values())
    wide = torch.promote_types(dtype, torch.float32)
    wanted = state["inner.weight"].double() + scale * up @ down
    torch.testing.assert_close(found["inner.weight"], wanted.to(wide), rtol=1e-7, atol=1e-7)
    assert found["inner.weight"].dtype == wide
    assert torch.equal(found["outer.weight"], state["outer.weight"])
    assert "merged into 1 weights; 0 entries replaced" in caplog.text


def test_turned_factors_and_parts_trained_whole(base, tmp_path):
    factors = {
        f"{NAMED}words.lora_embedding_A": drawn(2, 7),
        f"{NAMED}words.lora_embedding_B": drawn(4, 2),
        f"{NAMED}outer.weight": drawn(3, 5),
        f"{NAMED}outer.bias": drawn(3),
    }
    found = load_checkpoint(base, Network(), adapter(tmp_path, factors))
    state = torch.load(base, weights_only=True)
    words = state["words.weight"] + 3 * (drawn(4, 2) @ drawn(2, 7)).T
    torch.testing.assert_close(found["words.weight"], words)
    assert torch.equal(found["outer.weight"], drawn(3, 5))
    turned = {n.replace("inner", "outer"): t for n, t in PAIR.items()}
    turned[f"{NAMED}outer.lora_A.weight"] = drawn(2, 3)
    found = load_checkpoint(base, Network(), adapter(tmp_path, turned, fan_in_fan_out=True))
    change = 3 * (drawn(5, 2) @ drawn(2, 3)).T
    torch.testing.assert_close(found["outer.weight"], state["outer.weight"] + change)


@pytest.mark.parametrize("stabilized", [False, True])
@pytest.mark.filterwarnings("ignore")  # peft's own
def test_weights_are_those_that_peft_merges(base, tmp_path, stabilized):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    net = Network()
    net.load_state_dict(load_checkpoint(base, net))
    settings = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        use_rslora=stabilized,
        target_modules=["inner", "words"],
        modules_to_save=["outer"],
        rank_pattern={"inner": 2},
        alpha_pattern={"words": 7},
        init_lora_weights=False,
    )
    adapted = peft.get_peft_model(net, settings)
    adapted.save_pretrained(tmp_path / "adapter")
    wanted = adapted.merge_and_unload().state_dict()
    found = load_checkpoint(base, Network(), tmp_path / "adapter")
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor)


WRONG = {
    "nothing there": ({}, None, r"adapter_config\.json: cannot be read"),
    "another method": ({"peft_type": "IA3"}, PAIR, r"an adapter of the kind IA3; only LoRA's"),
    "DoRA": ({"use_dora": True}, PAIR, r"an adapter of the kind DoRA.*merge_and_unload"),
    "half a pair": (
        {},
        {f"{NAMED}inner.lora_A.weight": drawn(2, 4)},
        r"'inner\.lora_A\.weight' is no pair of factors",
    ),
    "another network": (
        {},
        {n.replace("inner", "other"): t for n, t in PAIR.items()},
        r"the adapter has 'other\.weight', which the network lacks \(it has words\.weight",
    ),
    "another width": (
        {},
        {**PAIR, f"{NAMED}inner.lora_A.weight": drawn(2, 9)},
        r"'inner' have shapes \(5, 2\) and \(2, 9\), its weight \(5, 4\)",
    ),
    "a convolution": (
        {},
        {n: t.reshape(*t.shape, 1, 1) for n, t in PAIR.items()},
        r"Convolutions are merged by peft alone",
    ),
}


@pytest.mark.parametrize(("settings", "factors", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_an_adapter_is_named(base, tmp_path, settings, factors, expected):
    if factors is not None:
        adapter(tmp_path, factors, **settings)
    with pytest.raises(InputError, match=expected):
        load_checkpoint(base, Network(), tmp_path)


def test_an_adapter_without_its_weights_is_named(base, tmp_path):
    (adapter(tmp_path, PAIR) / "adapter_model.bin").unlink()
    with pytest.raises(InputError, match=r"neither adapter_model\.safetensors nor adapter_model"):
        load_checkpoint(base, Network(), tmp_path)
