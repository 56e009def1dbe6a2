"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from aevb_lib.files import replacing


def write(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def test_a_file_and_its_folder_are_made(tmp_path):
    path = tmp_path / "new" / "deep" / "a.json"
    write(path, "σ\n")
    assert path.read_bytes() == "σ\n".encode()
    write(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["os.replace", "pathlib.Path.write_text"])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, where, before):
    path = tmp_path / "a.json"
    if before is not None:
        path.write_text(before)

    def fail(self, *_, **__):
        if where.endswith("write_text"):
            Path(self).write_bytes(b"half a f")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(OSError, match="disk full"):
            write(path, "new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
        {} if before is None else {"a.json": before}
    )
