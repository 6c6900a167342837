"""Two transformers of Hugging Face on English text: a language model, and a classifier.

Both read characters of the descriptions that scikit-learn ships with its data sets.  A batch is a
dict, as tokenizers and collators of Hugging Face make it: its ``labels`` are the targets, all else
becomes keyword arguments of the model.
"""

from collections.abc import Callable
from importlib.resources import files

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from landscape_lib import Problem, load_checkpoint

LENGTH = 64  # characters of a sample
CHARACTERS = 128  # ASCII
IGNORED = -100  # the label of what does not count
TEXTS = ("breast_cancer", "california_housing", "diabetes", "digits")


class Scores(nn.Module):
    """Returns of a Hugging Face model the scores alone, classes in dimension 1 as torch wants."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Tensor) -> Tensor:
        """Return scores: (n, classes), or (n, classes, tokens) of a language model."""
        scores = self.model(**batch).logits
        return scores.transpose(1, 2) if scores.ndim == 3 else scores


class Perplexity:
    """exp of the mean loss of a token, over all tokens of all batches that count.

    What has ``reset``, ``update`` and ``compute`` is a metric; those of torchmetrics have, too.
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new point."""
        self.total, self.count = torch.zeros((), dtype=torch.float64), 0

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Add a batch."""
        losses = functional.cross_entropy(scores, targets, ignore_index=IGNORED, reduction="none")
        self.total = self.total.to(losses.device) + losses.sum(dtype=torch.float64)
        self.count = self.count + (targets != IGNORED).sum()

    def compute(self) -> Tensor:
        """Return the perplexity."""
        return torch.exp(self.total / self.count)


class Samples(Dataset):
    """Lines of text as dicts of tensors, padded to one length."""

    def __init__(self, lines: list[tuple[str, int]], *, next_token: bool) -> None:
        self.lines, self.next_token = lines, next_token

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        text, label = self.lines[number]
        tokens = torch.tensor(list(text.encode("ascii", "replace"))[:LENGTH])
        padding = LENGTH - len(tokens)
        sample = {
            "input_ids": functional.pad(tokens, (0, padding)),
            "attention_mask": functional.pad(torch.ones_like(tokens), (0, padding)),
        }
        following = functional.pad(tokens[1:], (0, padding + 1), value=IGNORED)
        return {**sample, "labels": following if self.next_token else torch.tensor(label)}


def samples(*, next_token: bool) -> tuple[Samples, Samples]:
    """Return samples to train on and held-out ones, every fourth; a label is the text's number."""
    folder = files("sklearn.datasets.descr")
    lines = []
    for label, name in enumerate(TEXTS):
        text = " ".join((folder / f"{name}.rst").read_text(encoding="utf-8").split())
        lines += [(text[at : at + LENGTH], label) for at in range(0, len(text), LENGTH // 2)]
    seen = [line for number, line in enumerate(lines) if number % 4]
    return Samples(seen, next_token=next_token), Samples(lines[::4], next_token=next_token)


def language_model() -> nn.Module:
    """Return a GPT-2 of two layers, untrained; ``from_pretrained`` gives you a trained one."""
    config = transformers.GPT2Config(
        vocab_size=CHARACTERS,
        n_positions=LENGTH,
        n_embd=64,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    return transformers.GPT2LMHeadModel(config)


def classifier() -> nn.Module:
    """Return a BERT of two layers, untrained."""
    config = transformers.BertConfig(
        vocab_size=CHARACTERS,
        max_position_embeddings=LENGTH,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        num_labels=len(TEXTS),
    )
    return transformers.BertForSequenceClassification(config)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "language": language_model,
    "classifier": classifier,
}


def build(kind: str, checkpoint: str) -> Problem:
    """Return a trained transformer and the text it is judged on.

    Keys: of the language model ``train_loss_token`` and ``train_loss_perplexity``, of the
    classifier ``train_loss`` and ``train_acc``; and the same of ``test``.
    """
    model = MODELS[kind]()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    training, held_out = samples(next_token=kind == "language")
    loss = nn.CrossEntropyLoss(ignore_index=IGNORED)  # the mean over tokens that count
    metrics = {"token": loss, "perplexity": Perplexity()} if kind == "language" else loss
    return Problem(Scores(model), training, metrics, splits={"test": held_out})


def train(kind: str, epochs: int, seed: int) -> dict[str, Tensor]:
    """Train a transformer and return its weights."""
    torch.manual_seed(seed)
    model = MODELS[kind]()
    scores = Scores(model)
    training, _ = samples(next_token=kind == "language")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for batch in DataLoader(training, batch_size=32, shuffle=True):
            targets = batch.pop("labels")
            optimizer.zero_grad()
            functional.cross_entropy(scores(**batch), targets, ignore_index=IGNORED).backward()
            optimizer.step()
    return model.state_dict()
