"""How weights are brought in, whatever kind of file they are in: one ``build`` a kind.

The network is a small one for scikit-learn's digits.  ``save_all`` writes a file of every kind, so
that each can be tried; with your own files you need the ``build`` of your kind alone.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import Problem, load_checkpoint


def network() -> nn.Sequential:
    """Return the network, untrained."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def data() -> tuple[Tensor, Tensor]:
    """Return images, as rows of 64 pixels, and their classes."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def build(checkpoint: str) -> Problem:
    """Read a state_dict, bare or wrapped: torch's own file, safetensors, a Lightning checkpoint.

    Also what DataParallel, DistributedDataParallel or torch.compile saved, dicts that hold the
    state_dict beside an optimizer's and an epoch, and checkpoints in shards: the folder, or the
    index in it.
    """
    model = network()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    return Problem(model, data())


def build_script(program: str) -> Problem:
    """Load a TorchScript program: model and weights in one file, no code of the network needed."""
    return Problem(torch.jit.load(program, map_location="cpu"), data())


def build_exported(program: str) -> Problem:
    """Load a program of torch.export into the network's own class, by its state_dict.

    Its graph is fixed to the mode in which it was exported; its weights are those of the network.
    """
    model = network()
    model.load_state_dict(torch.export.load(program).state_dict)
    return Problem(model, data())


def build_half(checkpoint: str) -> Problem:
    """Read weights in bfloat16 into a network in bfloat16, as Hugging Face's ``torch_dtype`` does.

    The landscape is exact all the same: weights are moved and evaluated in float32, unless the
    config says ``evaluation: {precision: model}``.
    """
    model = network().bfloat16()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    return Problem(model, data())


def build_merged(checkpoint: str, adapter: str) -> Problem:
    """Put a LoRA adapter of the package peft into the weights it belongs to:  W + (alpha / r) B A.

    The landscape is then that of the adapted network, in the space of all of its weights.

    Args:
        checkpoint: The base network's weights.
        adapter: The folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
    """
    model = network()
    model.load_state_dict(load_checkpoint(checkpoint, model, adapter))
    return Problem(model, data())


def build_adapter(checkpoint: str, adapter: str) -> Problem:
    """Put a LoRA adapter beside the weights: with ``layers: "*lora_*"`` its factors alone move.

    The landscape is then the one in which the adapter was trained.

    Args:
        checkpoint: The base network's weights.
        adapter: The folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
    """
    from peft import PeftModel

    model = network()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    return Problem(PeftModel.from_pretrained(model, adapter), data())


def train() -> dict[str, Tensor]:
    """Train the network on all images and return its weights."""
    torch.manual_seed(0)
    model = network()
    inputs, targets = data()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model.state_dict()


def save_all(folder: Path) -> None:
    """Write the same weights in a file of every kind, and a LoRA adapter for them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = network()
    model.load_state_dict(train())
    state = dict(model.state_dict())
    torch.save(state, folder / "bare.pt")
    torch.save({"model": {f"module.{n}": t for n, t in state.items()}}, folder / "parallel.pt")
    lightning = {f"model.{name}": entry for name, entry in state.items()}
    torch.save({"epoch": 99, "state_dict": lightning}, folder / "lightning.ckpt")
    save_file(state, folder / "model.safetensors")
    torch.jit.script(model).save(folder / "script.pt")
    torch.export.save(torch.export.export(model, (data()[0][:2],)), folder / "exported.pt2")
    half = {name: entry.bfloat16() for name, entry in state.items()}
    save_file(half, folder / "half.safetensors")
    save_shards(state, folder / "sharded")
    save_adapter(folder / "adapter")


def save_shards(state: dict[str, Tensor], folder: Path) -> None:
    """Write every layer in a shard of its own, and the index, as Hugging Face does."""
    folder.mkdir(exist_ok=True)
    layers = sorted({name.partition(".")[0] for name in state})
    shards = {layer: f"model-{layer}.safetensors" for layer in layers}
    for layer, shard in shards.items():
        own = {name: entry for name, entry in state.items() if name.startswith(f"{layer}.")}
        save_file(own, folder / shard)
    places = {name: shards[name.partition(".")[0]] for name in state}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def save_adapter(folder: Path) -> None:
    """Write an adapter of rank 2 for the first layer, as peft does."""
    folder.mkdir(exist_ok=True)
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["0"]}
    (folder / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")
    torch.manual_seed(1)
    factors = {"A": torch.randn(2, 64) / 20, "B": torch.randn(32, 2) / 20}
    named = {f"base_model.model.0.lora_{name}.weight": t for name, t in factors.items()}
    save_file(named, folder / "adapter_model.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a file of every kind.")
    parser.add_argument("folder", type=Path, help="where to")
    save_all(parser.parse_args().folder)
