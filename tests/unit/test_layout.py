"""Plain offsets and files, against a plain list of all bytes."""

from hypothesis import given
from hypothesis import strategies as st

from netclnt.layout import Layout
from netclnt.model import Entry, EntryType

kinds = st.sampled_from(["directory", "link"]) | st.integers(0, 5)


def entry(number, kind):
    if kind == "directory":
        return Entry(f"d{number}", EntryType.DIRECTORY, 0o755)
    if kind == "link":
        return Entry(f"l{number}", EntryType.LINK, 0o777, target="x")
    return Entry(f"f{number}", EntryType.FILE, 0o644, kind, bytes(32))


@given(st.lists(kinds, max_size=8), st.data())
def test_parts_are_the_bytes_of_the_range(made, data):
    entries = [entry(number, kind) for number, kind in enumerate(made)]
    layout = Layout(entries)
    every = [(number, offset) for number, each in enumerate(entries) for offset in range(each.size)]
    assert layout.size == len(every)
    offset = data.draw(st.integers(0, len(every)))
    length = data.draw(st.integers(0, len(every) - offset))
    parts = list(layout.parts(offset, length))
    assert [(file, start + n) for file, start, size in parts for n in range(size)] == every[offset : offset + length]
    assert all(size > 0 for _, _, size in parts)
    assert len({file for file, _, _ in parts}) == len(parts)


def test_an_image_without_content_has_no_parts():
    layout = Layout([entry(0, "directory"), entry(1, 0)])
    assert (layout.size, layout.files, list(layout.parts(0, 0))) == (0, [], [])
