"""Images in memory, minibatches, and MNIST unpacked safely from the package's own archives."""

from __future__ import annotations

import errno
import gzip
import hashlib
import inspect
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import MNIST

from aevb_lib import archives, data
from aevb_lib.data import REGIMES, ImageSet, load_mnist
from aevb_lib.minibatches import binarize
from aevb_lib.repeatable import without_waiting

ROOT = Path(data.__file__).parents[1]
ARCHIVES = dict(MNIST.resources)
UNPACKED = {Path(name).stem for name in ARCHIVES}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, *, dynamic: bool = False) -> ImageSet:
    """Images and labels that tell which position they have."""
    return ImageSet((torch.arange(n) / n)[:, None].repeat(1, 3), torch.arange(n), dynamic=dynamic)


def order(batches: data.Batches) -> list[int]:
    return torch.cat([batch.indices for batch in batches]).tolist()


# --- minibatches ---------------------------------------------------------------------------------


@given(n=st.integers(1, 40), size=st.integers(1, 50), shuffle=st.booleans(), seed=st.integers(0, 9))
def test_an_epoch_holds_every_image_once(n: int, size: int, shuffle: bool, seed: int) -> None:
    images = numbered(n)
    batches = images.batches(size, shuffle=shuffle, generator=seeded(seed))
    for _ in range(2):
        epoch = list(batches)
        assert len(epoch) == len(batches) == (n + size - 1) // size
        assert [len(batch.images) for batch in epoch[:-1]] == [size] * (len(epoch) - 1)
        indices = torch.cat([batch.indices for batch in epoch])
        assert indices.sort().values.tolist() == list(range(n))
        assert shuffle or indices.tolist() == list(range(n))
        for batch in epoch:
            assert torch.equal(batch.images, images.images[batch.indices])
            assert torch.equal(batch.labels, images.labels[batch.indices])
            assert batch.images.dtype == torch.float32
            assert batch.labels.dtype == batch.indices.dtype == torch.int64


def test_one_seed_gives_one_sequence_of_orders() -> None:
    images = numbered(100)
    first, second = (images.batches(10, generator=seeded(3)) for _ in range(2))
    epochs = [order(first) for _ in range(3)]
    assert epochs == [order(second) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert order(images.batches(10, generator=seeded(4))) != epochs[0]
    # A law that outlives this code: recorded studies name seeds, so these must keep their orders.
    assert epochs[0] == torch.randperm(100, generator=seeded(3)).tolist()


def test_the_global_generator_is_the_default() -> None:
    images = numbered(50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first = order(images.batches(7))
        torch.manual_seed(5)
        assert order(images.batches(7)) == first


def test_order_of_storage_draws_nothing() -> None:
    generator = seeded()
    before = generator.get_state()
    assert order(numbered(5).batches(2, shuffle=False, generator=generator)) == [0, 1, 2, 3, 4]
    assert torch.equal(generator.get_state(), before)


def test_a_batch_is_a_copy() -> None:
    images = numbered(4)
    for batch in images.batches(2, shuffle=False):
        batch.images.zero_()
    assert torch.equal(images.images, numbered(4).images)


def test_the_order_is_drawn_on_the_cpu_whatever_the_default_device() -> None:
    images = numbered(8)
    with torch.device("meta"):
        assert order(images.batches(3, generator=seeded())) == order(
            images.batches(3, generator=seeded())
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dynamic", [False, True])
def test_one_seed_gives_one_order_on_the_gpu_too(dynamic: bool) -> None:
    images = numbered(100, dynamic=dynamic)
    moved = images.to("cuda")
    batches = moved.batches(10, generator=seeded())
    assert order(batches) == order(images.batches(10, generator=seeded()))
    epoch = iter(moved.batches(10, generator=seeded()))
    next(epoch)  # the first batch brings the order over
    with without_waiting():
        assert len(list(epoch)) == 9


def test_dynamic_pixels_are_drawn_again_every_epoch_with_the_right_mean() -> None:
    images = ImageSet(torch.tensor([[0.0, 0.2, 0.7, 1.0]]).repeat(500, 1), dynamic=True)
    batches = images.batches(100, shuffle=False, generator=seeded())
    epochs = torch.stack([torch.cat([batch.images for batch in batches]) for _ in range(20)])
    assert set(epochs.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(epochs[0], epochs[1])
    mean = epochs.mean((0, 1))  # of 10,000 draws: a standard error of at most 0.005
    assert mean[[0, 3]].tolist() == [0.0, 1.0]
    torch.testing.assert_close(mean[1:3], torch.tensor([0.2, 0.7]), atol=0.02, rtol=0)
    assert torch.equal(images.images[0], torch.tensor([0.0, 0.2, 0.7, 1.0]))


def test_dynamic_pixels_follow_the_seed() -> None:
    images = numbered(60, dynamic=True)
    runs = [images.batches(16, generator=seeded(1)) for _ in range(2)]
    for _ in range(2):
        for left, right in zip(*runs, strict=True):
            assert torch.equal(left.images, right.images)
            assert torch.equal(left.indices, right.indices)
    # Grey and dynamic training with one seed start on the same order.
    grey = numbered(60).batches(16, generator=seeded(1))
    assert order(images.batches(16, generator=seeded(1))) == order(grey)


def test_binarize_keeps_shape_and_type_and_follows_its_generator() -> None:
    pixels = torch.rand(3, 4, 5, generator=seeded(), dtype=torch.float64)
    drawn = binarize(pixels, generator=seeded(1))
    assert drawn.shape == pixels.shape
    assert drawn.dtype == pixels.dtype
    assert torch.equal(drawn, binarize(pixels, generator=seeded(1)))
    assert torch.equal(drawn, binarize(drawn)), "zeros and ones stay what they are"


# --- image sets ----------------------------------------------------------------------------------


def test_take_and_to() -> None:
    images = numbered(10, dynamic=True)
    few = images.take(4).to("cpu")
    assert len(few) == 4
    assert few.dynamic
    assert few.labels.tolist() == [0, 1, 2, 3]
    assert few.images.data_ptr() == images.images.data_ptr(), "no copy"
    assert len(images.take(10)) == 10
    assert len(images) == 10, "the set itself stays whole"


@pytest.mark.parametrize("n", [0, -1, 11])
def test_take_wants_a_number_that_is_there(n: int) -> None:
    with pytest.raises(ValueError, match=rf"cannot take {n} images.*from 1 to 10"):
        numbered(10).take(n)


@pytest.mark.parametrize(
    ("which", "labels"),
    [(slice(3), [0, 1, 2]), (slice(None, None, 4), [0, 4, 8]), (slice(-2, 100), [8, 9])],
)
def test_a_slice_is_a_set_without_a_copy(which: slice, labels: list[int]) -> None:
    images = numbered(10, dynamic=True)
    part = images[which]
    assert part.labels.tolist() == labels
    assert torch.equal(part.images, images.images[which])
    assert part.dynamic
    assert part.images.untyped_storage().data_ptr() == images.images.untyped_storage().data_ptr()


def test_a_slice_does_not_look_at_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    images = numbered(10)
    monkeypatch.setattr(
        torch.Tensor, "aminmax", lambda *_: pytest.fail("pixels were checked again")
    )
    assert len(images[:3]) == 3


@pytest.mark.parametrize("which", [slice(0), slice(20, 30)])
def test_a_slice_without_images_is_refused(which: slice) -> None:
    with pytest.raises(ValueError, match="no image is left of 10"):
        numbered(10)[which]


@pytest.mark.parametrize("which", [0, torch.tensor([1, 2]), [True]])
def test_only_slices_select(which: object) -> None:
    plain = inspect.unwrap(ImageSet.__getitem__)  # readers have no check of annotations
    with pytest.raises(TypeError, match=r"takes slices.*data\.images\[i\]"):
        plain(numbered(10), which)


def test_without_labels_every_label_is_no_class() -> None:
    assert ImageSet(torch.rand(2, 3)).labels.tolist() == [-1, -1]


def test_types_are_settled_once() -> None:
    images = ImageSet(
        torch.rand(2, 3, dtype=torch.float64), torch.tensor([1, 2], dtype=torch.uint8)
    )
    assert (images.images.dtype, images.labels.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize(
    ("pixels", "error", "fix"),
    [
        (torch.zeros(2, 3, dtype=torch.uint8), TypeError, r"images\.float\(\) / 255"),
        (torch.zeros(2, 28, 28), ValueError, r"\[2, 28, 28\]: use images\.flatten\(1\)"),
        (torch.zeros(3), ValueError, r"shape \[N, P\]"),
        (torch.zeros(0, 3), ValueError, r"shape \[N, P\]"),
        (torch.full((2, 3), 255.0), ValueError, "from 255 to 255: divide bytes by 255"),
        (torch.full((2, 3), -0.1), ValueError, "from -0.1 to -0.1"),
        (torch.tensor([[0.5, float("nan")]]), ValueError, "look for nan"),
        (torch.tensor([[0.5, float("inf")]]), ValueError, "to inf"),
    ],
)
def test_bad_images_are_refused(pixels: torch.Tensor, error: type[Exception], fix: str) -> None:
    with pytest.raises(error, match=fix):
        ImageSet(pixels)


@pytest.mark.parametrize(
    ("labels", "error", "fix"),
    [
        (torch.zeros(2), TypeError, r"use labels\.long\(\)"),
        (torch.zeros(3, dtype=torch.int64), ValueError, r"shape \[2\].*not \[3\]"),
        (torch.zeros(2, 1, dtype=torch.int64), ValueError, r"not \[2, 1\]"),
    ],
)
def test_bad_labels_are_refused(labels: torch.Tensor, error: type[Exception], fix: str) -> None:
    with pytest.raises(error, match=fix):
        ImageSet(torch.zeros(2, 3), labels)


def test_bad_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        numbered(3).batches(0)


# --- MNIST ---------------------------------------------------------------------------------------

# "Static" is a data set: another draw would be another one, and recorded numbers would be off.
STATIC_DIGESTS = ("cf124ce3d007c0b3", "9d5918af94082a18")


def digest(images: torch.Tensor) -> str:
    return hashlib.sha256(images.to(torch.uint8).numpy().tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def grey() -> tuple[ImageSet, ImageSet]:
    return load_mnist()


def test_grey_mnist(grey: tuple[ImageSet, ImageSet]) -> None:
    train, test = grey
    assert train.images.shape == (60_000, 784)
    assert test.images.shape == (10_000, 784)
    assert not train.dynamic
    assert (test.images * 255).round().sum(dtype=torch.float64) == 264_923_200
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert test.labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_static_mnist_is_one_draw_for_ever(grey: tuple[ImageSet, ImageSet]) -> None:
    train, test = load_mnist(regime="static")
    assert (digest(train.images), digest(test.images)) == STATIC_DIGESTS
    assert not train.dynamic
    assert torch.equal(train.labels, grey[0].labels)
    intensities = grey[1].images
    certain = (intensities == 0) | (intensities == 1)
    assert torch.equal(test.images[certain], intensities[certain])
    # 7.8 million pixels, most of them certain: a standard error below 1e-4.
    assert abs(test.images.mean() - intensities.mean()) < 3e-4


def test_dynamic_mnist_redraws_training_images_only(grey: tuple[ImageSet, ImageSet]) -> None:
    train, test = load_mnist(regime="dynamic")
    assert train.dynamic
    assert not test.dynamic
    assert torch.equal(train.take(100).images, grey[0].take(100).images)
    assert digest(test.images) == STATIC_DIGESTS[1]
    first, second = (
        next(iter(train.take(100).batches(100, shuffle=False, generator=seeded(seed)))).images
        for seed in (0, 1)
    )
    assert first.unique().tolist() == [0.0, 1.0]
    assert not torch.equal(first, second)


def test_an_unknown_regime_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'gray'; there are: " + ", ".join(REGIMES)):
        load_mnist(tmp_path, regime="gray")
    assert not list(tmp_path.iterdir())


# --- unpacking -----------------------------------------------------------------------------------


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as torchvision wants to fetch something."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("torchvision went for the network")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", refuse)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", refuse)


pytestmark = pytest.mark.usefixtures("no_download")


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archives of a very small MNIST in the place of the shipped ones; a test may damage them."""
    folder = tmp_path_factory.mktemp("package")
    resources = []
    for name, _ in MNIST.resources:
        count, images = (6 if name.startswith("train") else 4), "images" in name
        shape = (count, 28, 28) if images else (count,)
        header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
        content = header + bytes(i % 10 for i in range(count * (784 if images else 1)))
        (folder / name).write_bytes(gzip.compress(content))
        resources.append((name, hashlib.md5((folder / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(archives, "ARCHIVES", folder)
    monkeypatch.setattr(MNIST, "resources", resources)
    return folder


@pytest.fixture
def unpacked(package: Path, tmp_path: Path) -> Path:
    """A root with sound files of that small MNIST in it; returns its raw folder."""
    load_mnist(tmp_path)
    return assert_complete(tmp_path)


def assert_complete(root: Path) -> Path:
    """Check that the root holds all files, sound, and nothing else."""
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    assert [path.name for path in (root / "MNIST").iterdir()] == ["raw"], "no private folder left"
    raw = root / "MNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == UNPACKED | set(ARCHIVES)
    for name, md5 in MNIST.resources:
        assert hashlib.md5((raw / name).read_bytes()).hexdigest() == md5
        assert gzip.decompress((raw / name).read_bytes()) == (raw / Path(name).stem).read_bytes()
    return raw


def assert_nothing_left(root: Path) -> None:
    """Check that no file is there, only folders that were wanted anyway."""
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert not list(root.rglob(".unpacking-*"))


def test_the_shipped_archives_are_the_canonical_ones() -> None:
    shipped = {path.name: path for path in archives.ARCHIVES.iterdir()}
    assert set(shipped) == set(ARCHIVES)
    for name, md5 in ARCHIVES.items():
        assert hashlib.md5(shipped[name].read_bytes()).hexdigest() == md5
    provenance = (archives.ARCHIVES.parent / "README.md").read_text(encoding="utf-8")
    assert all(name in provenance and md5 in provenance for name, md5 in ARCHIVES.items())
    assert "Yann LeCun and Corinna Cortes" in provenance


def test_the_root_can_be_named_in_three_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEVB_DATA", str(tmp_path / "named"))
    assert archives.default_root() == tmp_path / "named"
    monkeypatch.delenv("AEVB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert archives.default_root() == tmp_path / "cache" / "aevb"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert archives.default_root() == tmp_path / ".cache" / "aevb"


def test_unpacking_leaves_files_for_torchvision_and_nothing_else(unpacked: Path) -> None:
    assert len(MNIST(unpacked.parents[1], train=False, download=True)) == 4


def test_sound_files_are_not_written_again(unpacked: Path) -> None:
    before = {path: path.stat() for path in unpacked.iterdir()}
    load_mnist(unpacked.parents[1])
    after = {path: path.stat() for path in unpacked.iterdir()}
    assert {p: (s.st_ino, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_ino, s.st_mtime_ns) for p, s in before.items()
    }


@pytest.mark.parametrize("name", sorted(UNPACKED))
@pytest.mark.parametrize("damage", ["flipped", "short", "missing", "archive"])
def test_a_damaged_root_is_repaired(unpacked: Path, name: str, damage: str) -> None:
    file = unpacked / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flipped":
        file.write_bytes(content)
    elif damage == "short":
        file.write_bytes(content[:9])
    else:
        file.unlink()
    if damage == "archive":
        (unpacked / f"{name}.gz").write_bytes(b"not an archive")
    train, test = load_mnist(unpacked.parents[1])
    assert_complete(unpacked.parents[1])
    assert (len(train), len(test)) == (6, 4)


def test_archives_that_cannot_be_written_do_not_matter(package: Path, tmp_path: Path) -> None:
    for path in package.iterdir():
        path.chmod(0o444)
    package.chmod(0o555)
    try:
        load_mnist(tmp_path)
        for path in assert_complete(tmp_path).iterdir():
            assert path.stat().st_mode & 0o200, "what is in the root can be replaced and removed"
    finally:
        package.chmod(0o755)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", None])
def test_a_damaged_package_says_so(package: Path, tmp_path: Path, content: bytes | None) -> None:
    path = package / "t10k-images-idx3-ubyte.gz"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged if content is None else content)
    with pytest.raises(RuntimeError, match=r"t10k-images.*is damaged.*Reinstall aevb-lib"):
        load_mnist(tmp_path)
    assert_nothing_left(tmp_path)


def test_a_package_without_archives_says_so(package: Path, tmp_path: Path) -> None:
    (package / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"nothing is downloaded.*Reinstall aevb-lib"):
        load_mnist(tmp_path)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("inside", ["", "root", "MNIST"])
def test_a_root_that_is_a_file_says_so(tmp_path: Path, inside: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    if inside == "MNIST":
        file.unlink()
        file.mkdir()
        file = file / "MNIST"
        file.write_text("mine")
    with pytest.raises(OSError, match=r"cannot unpack MNIST into .*AEVB_DATA"):
        load_mnist(tmp_path / "file" / (inside if inside == "root" else ""))
    assert file.read_text() == "mine"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_root_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # Tests may run as root, whom permissions do not stop: the system's answer is imitated.
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=rf"\({os.strerror(number)}\).*AEVB_DATA") as caught:
        load_mnist(tmp_path / "root")
    assert caught.value.errno == number


@pytest.mark.parametrize("stage", ["copy", "unpack", "move"])
def test_a_full_disk_leaves_nothing_half_written(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half_copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:10])
        raise full

    def half_unpack(archive: str, *args: object) -> None:
        Path(archive).with_suffix("").write_bytes(b"half")
        raise full

    def no_move(*args: object) -> None:
        raise full

    with monkeypatch.context() as patch:
        if stage == "copy":
            patch.setattr("aevb_lib.archives.shutil.copyfile", half_copy)
        elif stage == "unpack":
            patch.setattr("torchvision.datasets.utils.extract_archive", half_unpack)
        else:
            patch.setattr("aevb_lib.archives.os.replace", no_move)
        with pytest.raises(OSError, match=r"No space left.*make room for 70 MB") as caught:
            load_mnist(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert_nothing_left(tmp_path)
    load_mnist(tmp_path)
    assert_complete(tmp_path)


def test_an_interrupt_leaves_nothing_half_written(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("torchvision.datasets.utils.extract_archive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_mnist(tmp_path)
    assert_nothing_left(tmp_path)


def test_what_a_killed_process_left_is_removed_once_it_is_old(
    package: Path, tmp_path: Path
) -> None:
    old, young = (tmp_path / "MNIST" / f".unpacking-{age}" for age in ("old", "young"))
    for folder in (old, young):
        (folder / "MNIST" / "raw").mkdir(parents=True)
    os.utime(old, (0, 0))
    load_mnist(tmp_path)
    assert not old.exists()
    assert young.exists(), "its process may still be at work"


def test_processes_that_unpack_at_once_agree(tmp_path: Path) -> None:
    program = (
        "import sys, torchvision.datasets\n"
        "from aevb_lib.data import load_mnist\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "train, test = load_mnist(sys.argv[1])\n"
        "print(len(train), len(test), train.labels.sum().item(), test.labels.sum().item())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, tmp_path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:  # both have imported everything ...
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:  # ... and start together
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = {process.communicate(timeout=120)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == {"60000 10000 267236 44434\n"}
    assert_complete(tmp_path)


# --- packaging -----------------------------------------------------------------------------------


def test_wheel_and_sdist_hold_the_data(tmp_path: Path) -> None:
    # In a copy: building writes `build/` and `*.egg-info` beside the sources.
    ignore = shutil.ignore_patterns("__pycache__", "weights", "studies")
    shutil.copytree(ROOT / "aevb_lib", tmp_path / "aevb_lib", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, tmp_path)
    program = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    wanted = {f"aevb_lib/assets/mnist/{name}" for name in ARCHIVES}
    wanted |= {"aevb_lib/py.typed", "aevb_lib/assets/README.md", "aevb_lib/data.py"}
    for path in (ROOT / "aevb_lib").rglob("*"):
        if path.suffix in {".js", ".css", ".py"}:
            wanted.add(path.relative_to(ROOT).as_posix())
    assert not wanted - in_wheel
    assert not wanted - in_sdist
    assert any(name.endswith("/licenses/LICENSE") for name in in_wheel)


# --- what a batch may be -------------------------------------------------------------------------


def test_drop_last_leaves_out_a_short_batch_only() -> None:
    images = numbered(101)
    assert [len(b.images) for b in images.batches(100, drop_last=True)] == [100]
    assert [len(b.images) for b in images.batches(100)] == [100, 1]
    assert len(images.batches(100, drop_last=True)) == 1
    assert [len(b.images) for b in numbered(8).batches(4, drop_last=True)] == [4, 4]
    with pytest.raises(ValueError, match="drop_last leaves no batch: 3 images, 4 per batch"):
        numbered(3).batches(4, drop_last=True)


def test_a_size_is_any_integer_and_nothing_else() -> None:
    plain = inspect.unwrap(ImageSet.batches)
    assert [len(batch.images) for batch in plain(numbered(5), np.int64(3))] == [3, 2]
    with pytest.raises(TypeError, match="float"):
        plain(numbered(5), 2.5)


def test_a_named_folder_needs_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("AEVB_DATA", str(tmp_path))
    assert archives.default_root() == tmp_path
