"""Frames: what comes out is what went in, and nothing else ever comes out."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import Damaged
from netclnt.pack import (
    BASE_MAX,
    BASE_MIN,
    FRAME_MAX,
    PREFIX,
    RAW,
    STORED_MAX,
    ZSTD,
    compress,
    decode_frame,
    decompress,
    encode_delta,
    encode_frame,
    zstd,
)
from tests.support.mutations import decoded, mutated

PLAIN = b"the quick brown fox " * 500


def noise(size):
    return hashlib.shake_128(b"pack").digest(size)


@given(st.binary(min_size=1, max_size=2000), st.sampled_from([1, 3, 19]))
def test_a_frame_comes_back(plain, level):
    codec, stored = encode_frame(plain, level)
    assert len(stored) <= len(plain)
    assert decode_frame(codec, stored, plain=len(plain), where="here") == plain


@pytest.mark.parametrize("size", [1, 65536, 131071, 131072, 131073, 196608, FRAME_MAX])
@pytest.mark.parametrize(
    "content", [bytes, noise, lambda size: (PLAIN * (size // len(PLAIN) + 1))[:size]], ids=["zeros", "noise", "text"]
)
@pytest.mark.parametrize("level", [1, 19])
def test_a_frame_of_every_size_comes_back_and_fits_one_read(size, content, level):
    plain = content(size)
    codec, stored = encode_frame(bytearray(plain), level)
    assert len(stored) <= STORED_MAX
    assert decode_frame(codec, bytes(stored), plain=size, where="here") == plain
    assert decode_frame(codec, memoryview(stored), plain=size, where="here") == plain


def test_what_does_not_compress_is_stored_as_it_is():
    codec, stored = encode_frame(noise(1000), 19)
    assert (codec, stored) == (RAW, noise(1000))


def test_a_frame_made_by_a_streaming_program_is_read():
    """Its size is not declared, and its last block is empty."""
    stream = zstd.ZstdCompressor()
    stored = stream.compress(noise(50_000), stream.FLUSH_BLOCK) + stream.flush()
    assert decompress(stored, limit=50_000, what="frame", where="here") == noise(50_000)


@given(st.data())
def test_F12_a_changed_frame_is_refused_or_the_same_length(data):
    stored = compress(PLAIN, 3)
    changed = data.draw(mutated(stored))
    found = decoded(lambda: decode_frame(ZSTD, changed, plain=len(PLAIN), where="here"))
    assert found is None or len(found) == len(PLAIN)


@pytest.mark.parametrize("codec", [RAW, ZSTD])
@pytest.mark.parametrize("wrong", [-1, 1, 1000])
def test_F12_a_wrong_declared_size_is_damage(codec, wrong):
    stored = PLAIN if codec == RAW else compress(PLAIN, 3)
    with pytest.raises(Damaged):
        decode_frame(codec, stored, plain=len(PLAIN) + wrong, where="here")


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        compress(PLAIN, 3) + b"x",
        compress(PLAIN, 3) + bytes(1),
        compress(PLAIN, 3) * 2,
        compress(PLAIN, 3) + struct.pack("<II", 0x184D2A50, 3) + b"abc",
        struct.pack("<II", 0x184D2A50, 3) + b"abc" + compress(PLAIN, 3),
        struct.pack("<II", 0x184D2A50, 3) + b"abc",
        compress(PLAIN, 3)[:-1],
        compress(PLAIN, 3)[:4],
        b"\x28\xb5\x2f\xfd",
        PLAIN,
    ],
    ids=[
        "empty",
        "garbage",
        "zero byte",
        "two",
        "skippable behind",
        "skippable before",
        "skippable",
        "cut",
        "begun",
        "magic",
        "raw",
    ],
)
def test_F12_only_exactly_one_frame_is_taken(stored):
    with pytest.raises(Damaged):
        decode_frame(ZSTD, stored, plain=len(PLAIN), where="here")


def bomb(gigabytes, *, window_log):
    """A zstd frame of runs of zeros, without a declared size."""
    descriptor = bytes([0, (window_log - 10) << 3])
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd" + descriptor + block * (gigabytes << 13) + bytes([1, 0, 0])


def test_F12_a_frame_that_unpacks_to_10_GB_makes_no_more_than_it_should():
    stored = bomb(10, window_log=17)
    with pytest.raises(Damaged):
        decode_frame(ZSTD, stored, plain=FRAME_MAX, where="here")


def test_F12_a_frame_cannot_ask_for_much_memory():
    """A window of 128 MiB for a few bytes of content."""
    stored = b"\x28\xb5\x2f\xfd" + bytes([0, (27 - 10) << 3]) + struct.pack("<I", (1 << 17) << 3 | 1 << 1 | 1)[:3] + b"\0"
    with pytest.raises(Damaged, match="memory"):
        decode_frame(ZSTD, stored, plain=1 << 17, where="here")


# --- delta frames


@given(st.binary(min_size=1, max_size=2000), st.binary(min_size=BASE_MIN, max_size=2000), st.sampled_from([1, 7, 19]))
def test_a_delta_frame_comes_back_with_its_base(plain, base, level):
    stored = encode_delta(bytearray(plain), base, level)
    assert decode_frame(PREFIX, memoryview(stored), plain=len(plain), where="here", base=bytearray(base)) == plain


@pytest.mark.parametrize("level", [1, 7, 19])
def test_all_of_the_longest_base_is_within_reach_of_the_longest_frame(level):
    base = noise(BASE_MAX)
    for plain in (base[: FRAME_MAX - 9] + b"different", b"different" + base[9 - FRAME_MAX :], base[1000 : FRAME_MAX + 1000]):
        stored = encode_delta(plain, base, level)
        assert len(stored) < 2000
        assert decode_frame(PREFIX, stored, plain=FRAME_MAX, where="here", base=base) == plain


def test_a_delta_frame_without_its_base_is_damaged_or_something_else():
    base = noise(10_000)
    stored = encode_delta(base[:9000], base, 7)
    for other in (b"", base[:50], bytes(10_000), noise(20_000)[10_000:]):
        found = decoded(lambda other=other: decode_frame(PREFIX, stored, plain=9000, where="here", base=other))
        assert found is None or found != base[:9000]


@given(st.data())
def test_F12_a_changed_delta_frame_is_refused_or_the_same_length(data):
    base = noise(3000) + PLAIN
    changed = data.draw(mutated(encode_delta(PLAIN, base, 3)))
    found = decoded(lambda: decode_frame(PREFIX, changed, plain=len(PLAIN), where="here", base=base))
    assert found is None or len(found) == len(PLAIN)


def test_F12_a_delta_frame_that_unpacks_to_more_than_it_says_is_refused():
    stored = encode_delta(bytes(FRAME_MAX), bytes(1000), 19)
    with pytest.raises(Damaged):
        decode_frame(PREFIX, stored, plain=FRAME_MAX - 1, where="here", base=bytes(1000))
