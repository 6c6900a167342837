"""A newcomer's mistakes in data, model and labels end in a message that says what to do."""

import types

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.datasets import FakeData
from torchvision.transforms import ToTensor

from landscape_lib import InputError
from landscape_lib.core.blame import is_a_points
from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.core.plan import Plan


class Images(torch.utils.data.Dataset):
    """Images of these sizes, as a data set without transforms gives them."""

    def __init__(self, *sizes, transform=lambda image: image):
        self.sizes, self.transform = sizes, transform

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, number):
        return self.transform(Image.new("RGB", self.sizes[number])), number


def evaluated(model, data, metrics=None, **plan):
    evaluate = Evaluator(model, metrics or nn.CrossEntropyLoss(), prepare(data), Plan(**plan))
    return evaluate(model.eval())


FLAT = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))


def test_images_without_a_transform_are_told_of_it():
    with pytest.raises(InputError, match=r"train data hold a PIL\.Image\.Image, .*ToTensor\(\)"):
        evaluated(FLAT, Images((4, 4), (4, 4)))
    with pytest.raises(InputError, match=r"ToTensor\(\)"):
        evaluated(FLAT, FakeData(4, (3, 4, 4), 3))
    assert evaluated(FLAT, FakeData(4, (3, 4, 4), 3, transform=ToTensor()))["train_loss"] > 0


def test_images_of_different_sizes_are_told_of_resizing():
    with pytest.raises(InputError, match=r"different shapes.*\[3, 4, 4\].*\[3, 5, 4\].*Resize"):
        evaluated(FLAT, Images((4, 4), (4, 5), transform=ToTensor()))


def test_images_of_bytes_are_told_of_scaling():
    data = (torch.zeros(6, 3, 4, 4, dtype=torch.uint8), torch.arange(6) % 3)
    with pytest.raises(InputError, match=r"got uint8\[6, 3, 4, 4\] .*weights are float32.*/ 255"):
        evaluated(FLAT, data)


def test_inputs_of_another_shape_are_named():
    with pytest.raises(
        InputError, match=r"got float32\[6, 1, 4, 4\].*shapes cannot be mult"
    ) as info:
        evaluated(FLAT, (torch.zeros(6, 1, 4, 4), torch.arange(6) % 3))
    assert isinstance(info.value.__cause__, RuntimeError)


def test_an_entry_that_the_model_does_not_take_is_named():
    batch = [{"input": torch.zeros(4, 48), "name": torch.zeros(4), "labels": torch.arange(4) % 3}]
    with pytest.raises(InputError, match=r"name=float32\[4\].*become keyword arguments"):
        evaluated(nn.Linear(48, 3), iter(batch))


def test_an_operation_that_a_precision_lacks_is_told_so():
    class Lacking(nn.Linear):
        def forward(self, inputs):
            raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    with pytest.raises(InputError, match=r"lacks an operation in that precision.*\.half\(\)"):
        evaluated(Lacking(2, 3), (torch.zeros(4, 2), torch.arange(4) % 3))


@pytest.mark.parametrize("batch_size", [2, 7])
@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_out_of_range_are_refused_wherever_they_stand(batch_size, wrong):
    targets = torch.tensor([0, 1, 2, 0, 1, 2, wrong])
    match = rf"class numbers from {min(0, wrong)} to {max(2, wrong)}.*3 scores, for classes 0 to 2"
    with pytest.raises(InputError, match=match):
        evaluated(nn.Linear(2, 3), (torch.zeros(7, 2), targets), batch_size=batch_size)
    ignoring = nn.CrossEntropyLoss(ignore_index=wrong)
    assert evaluated(nn.Linear(2, 3), (torch.zeros(7, 2), targets), ignoring)["train_loss"] > 0


def test_a_metric_that_cannot_judge_is_named():
    def pixels(outputs, targets):
        return outputs[:, :, 0].mean(dim=1)

    with pytest.raises(
        InputError, match=r"'train_loss_iou' cannot judge.*returned float32\[4, 3\]"
    ):
        evaluated(nn.Linear(2, 3), (torch.zeros(4, 2), torch.arange(4) % 3), {"iou": pixels})


class Forgetful:
    """Asks for what was never set."""

    def asks(self):
        return self.forgotten

    def names(self):
        return forgotten  # noqa: F821


def raised_by(work, module):
    """Return what a function raises, when its module and its class are of that name."""
    own = types.FunctionType(work.__code__, {"__name__": module})
    kind = type("Forgetful", (), {"__module__": module})
    with pytest.raises((AttributeError, NameError)) as raised:
        own(kind())
    return raised.value


@pytest.mark.parametrize("work", [Forgetful.asks, Forgetful.names])
def test_a_name_that_our_own_code_lacks_is_no_mistake_of_a_points(work):
    assert not is_a_points(raised_by(work, "landscape_lib.steps.evaluate"))
    assert is_a_points(raised_by(work, "own"))


def test_a_value_that_lacks_what_our_code_asks_of_it_is_a_points():
    asks = types.FunctionType(Forgetful.asks.__code__, {"__name__": "landscape_lib.core"})
    with pytest.raises(AttributeError, match="'int' object has no attribute") as raised:
        asks(3)
    assert is_a_points(raised.value)


def test_a_lack_of_memory_is_no_mistake_of_the_users():
    class Large(nn.Linear):
        def forward(self, inputs):
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        evaluated(Large(2, 3), (torch.zeros(4, 2), torch.arange(4) % 3))
