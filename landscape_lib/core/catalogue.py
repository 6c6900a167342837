"""Which metrics have a name: read off the sources of torch and torchmetrics, which stay unimported.

A config is read before anything heavy is imported, and a misspelt name is to stop it then.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

OURS: Mapping[str, tuple[str, ...]] = {  # and the arguments that they take
    "accuracy": ("ignore_index",),
    "perplexity": ("weight", "ignore_index"),
    "weight_decay": ("coefficient", "layers"),
    "objective": ("loss", "weight_decay", "layers"),
    "f1": (),  # those of torchmetrics' F1Score
}
TOP = re.compile(r"top([1-9][0-9]{0,3})")
_ALSO = {  # where torch.nn.functional spells a loss otherwise than its class
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_with_logits",
    "multilabel_margin": "multi_label_margin",
    "multilabel_soft_margin": "multi_label_soft_margin",
}
_NOT_METRICS = {"functional", "utilities", "wrappers"}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@cache
def losses() -> Mapping[str, str]:
    """Return torch's losses of outputs and targets: their classes in ``torch.nn``, by name.

    ``CrossEntropyLoss`` is ``cross_entropy``.  Losses of three arguments or more are left out.
    """
    found = {}
    for node in _tree("torch", "nn/modules/loss.py").body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Loss") and _judges_a_pair(node):
            found[_WORDS.sub("_", node.name.removesuffix("Loss")).lower()] = node.name
    return found


def _judges_a_pair(kind: ast.ClassDef) -> bool:
    forward = [n for n in kind.body if isinstance(n, ast.FunctionDef) and n.name == "forward"]
    return [len(method.args.args) for method in forward] == [3]


@cache
def torch_metrics() -> Mapping[str, str]:
    """Return the classes of torchmetrics by name, each with the module that it is imported from."""
    root = _folder("torchmetrics")
    if root is None:
        return {}
    rooms = sorted(path.parent for path in root.glob("*/__init__.py"))
    named = [(f"torchmetrics.{p.name}", p) for p in rooms if p.name not in _NOT_METRICS]
    found = {}
    for module, folder in [*named, ("torchmetrics", root)]:
        for name in _public(ast.parse((folder / "__init__.py").read_bytes())):
            if name[0].isupper():
                found[name] = module
    return found


def _public(tree: ast.Module) -> Iterator[str]:
    """Go through what a module adds to its ``__all__``, whatever it depends on."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            items = getattr(getattr(node, "value", None), "elts", ())
            yield from (str(item.value) for item in items if isinstance(item, ast.Constant))


def known(name: str) -> bool:
    """Tell whether there is a metric of this name."""
    return bool(name in OURS or TOP.fullmatch(name) or loss_class(name) or name in torch_metrics())


def loss_class(name: str) -> str | None:
    """Return the class in ``torch.nn`` that a name means; None where it means none.

    ``nll``, ``nll_loss`` and ``NLLLoss`` mean the same.
    """
    plain = name.removesuffix("_loss")
    found = losses().get(_ALSO.get(plain, plain))
    return found or (name if name in losses().values() else None)


def names() -> list[str]:
    """Return every name, to propose the nearest of."""
    return [*OURS, "top5", *losses(), *_ALSO, *losses().values(), *torch_metrics()]


def _tree(package: str, path: str) -> ast.Module:
    folder = _folder(package)
    return ast.Module([], []) if folder is None else ast.parse((folder / path).read_bytes())


def _folder(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).parent
