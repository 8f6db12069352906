"""What was acknowledged is read again, whatever the end of the file looks like."""

import os
import stat
from pathlib import Path

import pytest

from slipstream.errors import StoreError
from slipstream.store.sidefile import SideFile

SIZE = 64 * 1024
START = 4096


@pytest.fixture
def side_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db.side"


def texts_of(path: Path) -> list[bytes]:
    opened = SideFile.open(path, size=SIZE)
    found = [text for _, text in opened.left_over]
    opened.close()
    return found


def written(path: Path, *groups: list[bytes]) -> None:
    opened = SideFile.open(path, size=SIZE)
    for group in groups:
        opened.append(group)
    opened.close()


def test_a_new_file_is_ours_alone_and_has_its_blocks(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    found = side_path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE
    assert opened.left_over == []
    opened.close()


def test_records_come_back_in_order(side_path: Path) -> None:
    written(side_path, [b"one", b""], [b"two" * 1000])
    assert texts_of(side_path) == [b"one", b"", b"two" * 1000]


def test_a_second_process_is_kept_out(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    with pytest.raises(StoreError, match="another process"):
        SideFile.open(side_path, size=SIZE)
    opened.close()
    written(side_path, [b"one"])


def test_what_is_replayed_is_not_read_again(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    first = opened.append([b"one", b"two", b"three"])
    opened.mark_done(first + 1)
    opened.close()
    assert texts_of(side_path) == [b"three"]


def test_after_a_reset_the_file_is_filled_from_its_start(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    last = opened.append([b"long ago" * 100, b"and this"])
    opened.reset()
    assert opened.used_size == 0
    assert opened.append([b"new"]) == last + 2
    opened.close()
    assert texts_of(side_path) == [b"new"]


def test_a_full_file_takes_no_more_and_what_is_there_stays(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    opened.append([b"x" * 50_000])
    with pytest.raises(StoreError, match="full") as caught:
        opened.append([b"y" * 20_000])
    assert caught.value.is_unavailable
    opened.append([b"z"])
    opened.close()
    assert texts_of(side_path) == [b"x" * 50_000, b"z"]


@pytest.mark.parametrize("lost", range(1, 25))
def test_an_append_that_was_cut_off_is_dropped(side_path: Path, lost: int) -> None:
    written(side_path, [b"first"])
    whole = side_path.read_bytes()
    opened = SideFile.open(side_path, size=SIZE)
    start = START + opened.used_size
    opened.append([b"torn"])
    end = START + opened.used_size
    opened.close()
    torn = bytearray(side_path.read_bytes())
    torn[max(start, end - lost) : end] = whole[max(start, end - lost) : end]
    side_path.write_bytes(torn)
    assert texts_of(side_path) == [b"first"]
    written(side_path, [b"second"])
    assert texts_of(side_path) == [b"first", b"second"]


@pytest.mark.parametrize("offset", [START, START + 6, START + 14, START + 18, START + 22])
def test_damage_before_the_end_is_an_error_that_names_the_place(
    side_path: Path, offset: int
) -> None:
    written(side_path, [b"first", b"second"])
    damaged = bytearray(side_path.read_bytes())
    damaged[offset] ^= 0xFF
    side_path.write_bytes(damaged)
    with pytest.raises(StoreError, match=rf"{side_path}: damaged at offset {START}"):
        SideFile.open(side_path, size=SIZE)


@pytest.mark.parametrize("slot", [0, 512])
def test_one_torn_header_costs_nothing_that_is_not_replayed(side_path: Path, slot: int) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    first = opened.append([b"one", b"two"])
    opened.mark_done(first)
    opened.close()
    damaged = bytearray(side_path.read_bytes())
    damaged[slot + 10] ^= 0xFF
    side_path.write_bytes(damaged)
    assert texts_of(side_path)[-1] == b"two"


def test_no_header_at_all_is_an_error(side_path: Path) -> None:
    side_path.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="no header"):
        SideFile.open(side_path, size=SIZE)


def test_an_empty_file_of_zeros_is_a_new_one(side_path: Path) -> None:
    side_path.write_bytes(bytes(SIZE))
    written(side_path, [b"one"])
    assert texts_of(side_path) == [b"one"]


def test_an_append_that_the_disk_refused_does_not_count(side_path: Path) -> None:
    opened = SideFile.open(side_path, size=SIZE)
    opened.append([b"one"])
    broken, reader = opened._descriptor, os.open(side_path, os.O_RDONLY)
    opened._descriptor = reader
    with pytest.raises(StoreError, match="Bad file descriptor") as caught:
        opened.append([b"lost"])
    assert caught.value.is_unavailable
    opened._descriptor = broken
    os.close(reader)
    opened.append([b"two"])
    opened.close()
    assert texts_of(side_path) == [b"one", b"two"]
