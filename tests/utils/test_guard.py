"""A stranger's file is refused before it reads another file, loads code or takes memory."""

import io
import zipfile

import h5py
import numpy as np
import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.utils.guard import refuse_dense, refuse_foreign
from landscape_lib.utils.storage import load_directions, load_surface, save_surface

STEPS = np.linspace(-1, 1, 4), np.linspace(0, 1, 3)
SECRET = np.arange(12.0).reshape(4, 3)


@pytest.fixture
def surface(tmp_path):
    """Returns a file like a surface of the earlier library, whose values ``put`` puts in."""
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["values"] = SECRET

    def written(put, name="train_loss"):
        path = tmp_path / "surface.h5"
        with h5py.File(path, "w") as handle:
            for axis, steps in zip("xy", STEPS, strict=True):
                handle[f"{axis}coordinates"] = steps
            put(handle, name)
        return path

    return written


def external_link(handle, name):
    handle[name] = h5py.ExternalLink("secret.h5", "/values")


def soft_link(handle, name):
    handle[name] = h5py.SoftLink("/xcoordinates")


def virtual(handle, name):
    layout = h5py.VirtualLayout((4, 3), float)
    layout[:] = h5py.VirtualSource("secret.h5", "values", shape=(4, 3))
    handle.create_virtual_dataset(name, layout)


def stored_outside(handle, name):
    handle.create_dataset(name, (4, 3), float, external=[("/etc/passwd", 0, 96)])


def plugin(handle, name):
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_chunk((4, 3))
    how.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)  # blosc, which is a plugin
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(handle.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, how)


def a_terabyte(handle, name):
    handle.create_dataset(name, (2**17, 2**20), float)


def a_packed_terabyte(handle, name):
    handle.create_dataset(name, (2**17, 2**20), float, chunks=(1, 2**20), compression="gzip")
    handle[name][0] = 0


def a_terabyte_further_down(handle, name):
    a_terabyte(handle.create_group("a/b"), name)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (external_link, "'/train_loss' is a link to 'secret.h5:/values'"),
        (soft_link, "'/train_loss' is a link to '/xcoordinates'"),
        (virtual, "the numbers of '/train_loss' lie in another file"),
        (stored_outside, "the numbers of '/train_loss' lie in another file"),
        (plugin, r"'/train_loss' is packed with the HDF5 filters \[32001\], which need a plugin"),
        (a_terabyte, "'/train_loss' claims 1,099,511,627,776 bytes, but 0 are stored"),
        (a_packed_terabyte, "'/train_loss' claims 1,099,511,627,776 bytes, but"),
        (a_terabyte_further_down, "'/a/b/train_loss' claims 1,099,511,627,776 bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_leads_elsewhere_or_asks_for_too_much_is_refused(surface, put, message):
    path = surface(put)
    assert path.stat().st_size < 20_000
    for load in (load_surface, load_directions):
        with pytest.raises(InputError, match=message) as refused:
            load(path)
        assert str(path) in str(refused.value)


def test_a_group_that_holds_itself_is_looked_into_once(surface):
    def put(handle, name):
        handle[name] = SECRET
        group = handle.create_group("round")
        group["again"] = group

    found = load_surface(surface(put))
    np.testing.assert_array_equal(found["train_loss"], SECRET)


def test_what_packs_best_is_still_read(tmp_path):
    """A constant surface is packed as densely as deflate can."""
    grid = Grid((Axis(-1, 1, 1501), Axis(-1, 1, 1000)))
    path = tmp_path / "constant.h5"
    save_surface(path, Surface(grid, {"train_loss": np.zeros(grid.shape)}))
    assert load_surface(path)["train_loss"].shape == grid.shape
    with h5py.File(path) as handle:
        refuse_foreign(handle, path)
        stored = handle["train_loss"].id.get_storage_size()
    assert stored < grid.size * 8 / 200


def npz(path, shape, stored):
    """Write an npz file whose array claims a shape, with so many bytes behind its header."""
    header = io.BytesIO()
    told = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, told)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("loss.npy", header.getvalue() + stored)
    return path


def test_an_npz_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = npz(tmp_path / "own.npz", (2**17, 2**20), b"")
    with pytest.raises(
        InputError, match=r"'loss\.npy' claims 1,099,511,627,776 bytes, but"
    ) as refused:
        load_surface(path)
    assert str(path) in str(refused.value)
    with zipfile.ZipFile(npz(tmp_path / "whole.npz", (4, 3), bytes(96))) as archive:
        refuse_dense(archive, path)


def a_huge_piece(handle, name):
    handle.create_dataset(name, (4, 3), float, chunks=(2**14, 2**13), maxshape=(None, None))
    handle[name].id.write_direct_chunk((0, 0), b"\0" * 96)  # as a stranger's program could


def texts_that_are_one_long_text(handle, name):
    """Each of 20,000 entries could point to one text that is as long as the file."""
    handle[name] = ["ab"] * 20_000


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (
            a_huge_piece,
            r"'/train_loss' is stored in pieces of 1,073,741,824 bytes, each read whole",
        ),
        (texts_that_are_one_long_text, "'/train_loss' holds 20,000 texts or lists of any length"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_takes_more_memory_than_it_claims_is_refused(surface, put, message):
    path = surface(put)
    assert path.stat().st_size < 10**6
    with pytest.raises(InputError, match=message):
        load_surface(path)


def test_members_of_an_npz_file_that_share_their_bytes_count_together(tmp_path):
    """As in zip bombs: each member alone could be true, all of them cannot."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(npz(path, (131_072,), bytes(2**20)), "a") as archive:
        (one,) = archive.infolist()
        for number in range(2000):
            again = zipfile.ZipInfo(f"{number}.npy")
            for name in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(again, name, getattr(one, name))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    assert path.stat().st_size < 10**6
    with pytest.raises(InputError, match=r"members claim .* bytes together|cannot be read as npz"):
        load_surface(path)
