"""The pretended GPU refuses what a GPU refuses, and does what a GPU does with the CPU's bits."""

import gc

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import round_as, rounding_kept
from tests.pretended_gpu import MEMORY, Waited, pretended_gpu

CUDA = torch.device("cuda", 0)


@pytest.fixture
def gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU: nothing is pretended")
    with pretended_gpu() as gpu:
        yield gpu


@pytest.fixture
def exactly():
    """Lets no factor be rounded: of convolutions, torch's own default is TF32."""
    with rounding_kept():
        round_as(Plan("cuda"))
        yield


def test_torch_is_afterwards_what_it_was():
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU: nothing is pretended")
    before = dict(vars(torch.cuda))
    with pretended_gpu():
        assert torch.cuda.is_available()
        assert torch.ones(2, device="cuda").is_cuda
    assert {name: vars(torch.cuda)[name] for name in before} == before
    assert torch.ones(2).device.type == "cpu"
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(2, device="cuda")


def test_what_comes_of_tensors_lies_where_they_do(gpu):
    here, there = torch.ones(3, 2), torch.ones(3, 2, device="cuda")
    made = (here.cuda(), here.to("cuda:0"), here.to(device=CUDA), here.to(there), there[1:])
    more = (there * 2, there + 1.0, torch.zeros_like(there), there.new_ones(2), there.double())
    for tensor in (*made, *more, there.detach(), there.data, nn.functional.one_hot(there.long())):
        assert (tensor.device, tensor.is_cuda, tensor.is_cpu) == (CUDA, True, False)
    for tensor in (here, there.cpu(), there.to("cpu"), torch.zeros_like(there, device="cpu")):
        assert (tensor.device.type, tensor.get_device()) == ("cpu", -1)
    assert there.to("cuda") is there
    assert here.cuda().data_ptr() != here.data_ptr()


def test_modules_move_there_and_back(gpu, exactly):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    inputs = torch.randn(5, 3, 4, 4)
    wanted = net(inputs)
    net.cuda()
    assert all(tensor.is_cuda for tensor in net.state_dict().values())
    with pytest.raises(RuntimeError, match="at least two devices, cuda:0 and cpu!"):
        net(inputs)
    found = net(inputs.cuda())
    assert found.is_cuda
    assert torch.equal(found.cpu(), wanted)
    assert torch.equal(net.cpu()(inputs), wanted)


@pytest.mark.parametrize(
    "mixes",
    [
        lambda here, there: here + there,
        lambda here, there: there @ here,
        lambda here, there: there.copy_(here).add_(here),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch._foreach_add_([there], [here]),
        nn.functional.mse_loss,
    ],
)
def test_two_devices_in_one_operation_are_refused(gpu, mixes):
    with pytest.raises(RuntimeError, match="at least two devices"):
        mixes(torch.ones(2, 2), torch.ones(2, 2, device="cuda"))


def test_a_number_of_the_cpu_is_no_second_device(gpu):
    assert (torch.ones(2, device="cuda") * torch.tensor(2.0)).is_cuda


def test_numpy_cannot_read_it(gpu):
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        torch.ones(2, device="cuda").numpy()
    assert torch.ones(2, device="cuda").cpu().numpy().tolist() == [1, 1]


WAITS = {
    "item": lambda there: there.sum().item(),
    "float": lambda there: float(there.sum()),
    "if": lambda there: bool(there.sum() > 1),
    "tolist": lambda there: there.tolist(),
    "cpu": lambda there: there.cpu(),
    "to": lambda there: there.to("cpu"),
    "copy": lambda there: torch.empty(3).copy_(there),
    "unpinned": lambda there: torch.empty(3).copy_(there, non_blocking=True),
    "mask": lambda there: there[there > 0],
    "nonzero": lambda there: there.nonzero(),
    "equal": lambda there: torch.equal(there, there),
    "synchronize": lambda there: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("what", WAITS)
def test_waiting_is_counted_and_refused_where_it_is_forbidden(gpu, what):
    there, before = torch.ones(3, device="cuda"), gpu.waits
    WAITS[what](there)
    assert gpu.waits > before
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(Waited, match="synchronizing"):
        WAITS[what](there)


def test_what_does_not_wait_is_not_counted(gpu):
    there, pinned = torch.ones(3, device="cuda"), torch.empty(3, pin_memory=True)
    assert pinned.is_pinned()
    before = gpu.waits
    pinned.copy_(there * 2 + 1, non_blocking=True)
    torch.empty(3, device="cuda").copy_(there)
    torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    torch.cuda.current_stream().record_event().synchronize()
    assert gpu.waits == before
    assert pinned.tolist() == [3, 3, 3]


def captured(work):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(
        graph, pool=None, stream=torch.cuda.Stream(), capture_error_mode="thread_local"
    ):
        results = work()
    return graph, results


def test_a_graph_does_on_the_same_tensors_what_was_captured(gpu):
    given, weight = torch.ones(3, 2, device="cuda"), torch.full((2, 2), 2.0, device="cuda")
    graph, found = captured(lambda: (given @ weight).view(-1).relu_() + 1)
    assert found.isnan().all()  # a capture computes nothing
    graph.replay()
    assert found.tolist() == [5] * 6
    given.fill_(2)
    weight.fill_(-1)
    graph.replay()
    assert found.tolist() == [1] * 6


def test_what_a_capture_cannot_hold_is_refused(gpu):
    there = torch.ones(3, device="cuda")
    for work in (lambda: there.sum().item(), there.cpu, torch.cuda.synchronize):
        with pytest.raises(Waited):
            captured(work)
    assert gpu.capturing is None
    assert captured(lambda: there * 2)[1].is_cuda


def test_vmap_and_functional_call_stay_there(gpu):
    net = nn.Linear(3, 2)
    inputs = torch.randn(4, 3)
    rows = {name: torch.stack([t, 2 * t]).detach() for name, t in net.named_parameters()}

    def at_one(tensors: dict[str, Tensor]) -> Tensor:
        outputs = functional_call(net, tensors, (inputs,))
        assert outputs.device == inputs.device
        return outputs

    wanted = vmap(at_one)(rows)
    inputs, rows = inputs.cuda(), {name: t.cuda() for name, t in rows.items()}
    found = vmap(at_one)(rows)
    assert found.is_cuda
    assert torch.equal(found.cpu(), wanted)


def test_memory_is_counted_and_runs_out(gpu):
    one = torch.ones(2**10, device="cuda")
    assert torch.cuda.memory_allocated() == 2**12
    two, view = one * 2, one[5:]
    assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == 2**13
    del two, one
    gc.collect()
    assert torch.cuda.memory_allocated() == 2**12  # a view holds all of it
    assert torch.cuda.max_memory_allocated() == 2**13
    assert torch.cuda.mem_get_info() == (MEMORY - 2**12, MEMORY)
    torch.cuda.set_per_process_memory_fraction(2**13 / MEMORY)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        view.repeat(2)


def test_factors_are_rounded_to_tf32_where_torch_says_so(gpu, exactly):
    factor = torch.full((4, 4), 1 + 2**-12, device="cuda")
    assert (factor @ factor)[0, 0].item() > 4
    round_as(Plan("cuda", "tf32"))
    assert (factor @ factor)[0, 0].item() in {4, 4 * (1 + 2**-10) ** 2}
    assert (factor.cpu() @ factor.cpu())[0, 0].item() > 4
