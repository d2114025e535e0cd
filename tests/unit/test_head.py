"""HEAD: what is in it comes back, and nothing that was changed does."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import Damaged, ForbiddenValue, Incompatible
from netclnt.head import HEAD_FILE_MAX, StoreHead, decode_store_head, encode_store_head
from netclnt.model import GENERATION_MAX, HEAD_BYTES_MAX, NUMBER_MAX, CatalogState
from tests.support.mutations import decoded, mutated

STATE = CatalogState("0123456789abcdef" * 2, 0x0123456789ABCDEF, "fastcdc2020/4k-16k-64k", 2, 1, 4711, 12, 9)
HEAD = StoreHead(STATE, "ab" * 32, 12345)
ENCODED = encode_store_head(HEAD)

hexes = st.text("0123456789abcdef", min_size=32, max_size=32)
states = st.builds(
    CatalogState,
    identity=hexes,
    hash_seed=st.integers(0, (1 << 64) - 1),
    chunker=st.text("abcdefgh0123456789/-", min_size=1, max_size=64),
    schema_version=st.integers(1, NUMBER_MAX),
    min_reader=st.integers(1, NUMBER_MAX),
    generation=st.integers(0, GENERATION_MAX),
    assignment_revision=st.integers(0, GENERATION_MAX),
    statement_number=st.integers(0, GENERATION_MAX),
)
heads = st.builds(StoreHead, states, st.builds(str.__add__, hexes, hexes), toc_head_bytes=st.integers(1, HEAD_BYTES_MAX))


def sealed(text):
    """With the SHA-256 that closes it."""
    return f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


BODY = ENCODED.decode().rpartition("sha256 ")[0]


@given(heads)
def test_a_HEAD_comes_back(head):
    data = encode_store_head(head)
    assert decode_store_head(data) == head
    assert len(data) <= HEAD_FILE_MAX


@given(heads, st.data())
def test_M2_a_changed_HEAD_is_refused(head, data):
    encoded = encode_store_head(head)
    changed = data.draw(mutated(encoded))
    assert decoded(lambda: decode_store_head(changed)) == (head if changed == encoded else None)


@given(heads, st.data())
def test_M2_a_HEAD_changed_and_sealed_anew_means_what_it_says(head, data):
    body = encode_store_head(head).rpartition(b"sha256 ")[0]
    changed = data.draw(mutated(body))
    resealed = changed + b"sha256 " + hashlib.sha256(changed).hexdigest().encode() + b"\n"
    found = decoded(lambda: decode_store_head(resealed))
    assert found is None or encode_store_head(found) == resealed


@given(st.binary(max_size=300))
def test_M2_any_bytes_are_refused(data):
    assert decoded(lambda: decode_store_head(data)) is None
    assert decoded(lambda: decode_store_head(b"netclnt-head 1\n" + data)) is None


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("generation", "-1", ForbiddenValue),
        ("generation", str((1 << 63) - 1), ForbiddenValue),
        ("generation", "9" * 3000, ForbiddenValue),
        ("generation", "9" * 5000, Damaged),
        ("generation", "4_711", Damaged),
        ("generation", "+4711", Damaged),
        ("generation", "04711", Damaged),
        ("generation", " 4711", Damaged),
        ("generation", "4711 ", Damaged),
        ("generation", "", Damaged),
        ("generation", "1e3", Damaged),
        ("generation", "0x10", Damaged),
        ("identity", "0" * 31, ForbiddenValue),
        ("identity", "A" * 32, ForbiddenValue),
        ("hash-seed", "0123456789ABCDEF", Damaged),
        ("hash-seed", "10123456789abcdef", ForbiddenValue),
        ("hash-seed", "-123456789abcdef0", ForbiddenValue),
        ("schema", "1", Damaged),
        ("schema", "1 1 1", Damaged),
        ("schema", "0 1", ForbiddenValue),
        ("chunker", "x" * 65, ForbiddenValue),
        ("chunker", "a\x1bb", ForbiddenValue),
        ("toc", "ab" * 32, Damaged),
        ("toc", "ab" * 31 + " 5", ForbiddenValue),
        ("toc", "ab" * 32 + " 0", ForbiddenValue),
        ("toc", "ab" * 32 + f" {HEAD_BYTES_MAX + 1}", ForbiddenValue),
        ("toc", "../" * 21 + "a 5", ForbiddenValue),
    ],
)
def test_F7_F9_F14_values_of_a_HEAD_are_checked(key, value, error):
    lines = [f"{key} {value}" if line.startswith(f"{key} ") else line for line in BODY.splitlines()]
    with pytest.raises(error):
        decode_store_head(sealed("".join(f"{line}\n" for line in lines)))


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace("\n", "\r\n"),
        BODY.replace("generation 4711\n", "generation 1\ngeneration 4711\n"),
        BODY.replace("generation 4711\n", "generation 4711\ngeneration 5000\n"),
        BODY.replace("generation 4711\n", ""),
        BODY + "new 1\n",
        BODY + "\n",
        BODY.replace("statement 9\n", "statement 9\x0b"),
    ],
    ids=["CRLF", "twice", "twice, behind", "one lacks", "one more", "empty line", "vertical tab"],
)
def test_M2_a_HEAD_has_its_lines_and_no_others(body):
    with pytest.raises(Damaged):
        decode_store_head(sealed(body))


def test_what_follows_its_sha256_is_damage():
    for more in (b"x", b"\n", b"generation 5\n", sealed(BODY), b"\0"):
        with pytest.raises(Damaged):
            decode_store_head(ENCODED + more)


def test_a_HEAD_of_a_later_format_is_incompatible():
    for data in (b"", b"netclnt-head 2\n", ENCODED.replace(b"head 1", b"head 2")):
        with pytest.raises(Incompatible):
            decode_store_head(data)
