"""Answers a shell that completes a command line. The scripts in ``netclnt/cli/completions`` ask, by two variables:

``_NETCLNT_LINE`` is the line up to the cursor, as typed; ``_NETCLNT_PART`` (bash) what of it will be replaced, as bash ends words
at ``:``, ``@`` and ``=``, too. Each line of the answer is one candidate: ``plain`` or ``part`` (no space follows), a tab, the
text, and but for bash a tab and what it is about; or ``file`` or ``dir``, which the shell itself knows, and what stands before
the name. In bash's answer the text is quoted as the line needs it; the other shells quote by themselves.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, shell_complete, split_arg_string

from netclnt.cli.parser import Globals

VARIABLE = "_NETCLNT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
PROGRAM = "netclnt"

_SECONDS = 1.0
"""The longest that a prompt waits for candidates."""

_UNSAFE = re.compile(r"[^\w@%+=:,./-]")
_UNSAFE_IN_DOUBLE = re.compile(r'["$`\\]')


def complete(cli: click.Command, instruction: str) -> int:
    """Answer on standard output. Whatever goes wrong, nothing else is said, and nothing waits for longer than a second."""
    with suppress(Exception), _deadline(_SECONDS):
        shell_complete(cli, {"obj": Globals()}, PROGRAM, VARIABLE, instruction)
    return 0


def script(shell: str) -> str:
    """What a shell reads to know how to ask."""
    return resources.files("netclnt.cli").joinpath("completions", f"{PROGRAM}.{shell}").read_text(encoding="utf-8")


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raises TimeoutError within, after so long."""

    def give_up(_: int, __: object) -> None:
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, give_up)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)


class _Shell(ShellComplete):
    def source(self) -> str:
        return script(self.name)

    def get_completion_args(self) -> tuple[list[str], str]:
        return _words(os.environ["_NETCLNT_LINE"])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Of whole words: for ``--option=VALUE`` too."""
        name, equals, _ = incomplete.partition("=")
        before = name + equals if equals and name.startswith("--") and "--" not in args else ""
        found = super().get_completions(args, incomplete)
        return [CompletionItem(before + _value(item), type=item.type, help=item.help) for item in found]

    def format_completion(self, item: CompletionItem[str]) -> str:
        about = " ".join((item.help or "").split())
        return f"{item.type}\t{item.value}\t{about.partition('. ')[0].removesuffix('.')}"


class _Zsh(_Shell):
    name = "zsh"


class _Fish(_Shell):
    name = "fish"


class _Bash(_Shell):
    name = "bash"

    def complete(self) -> str:
        line, part = os.environ["_NETCLNT_LINE"], os.environ["_NETCLNT_PART"]
        head = line.removesuffix(part)
        before, quote = _words(head)[1], _open_quote(head)
        found = self.get_completions(*self.get_completion_args())
        return "\n".join(_bash_lines(found, before, quote))


for _each in (_Bash, _Zsh, _Fish):
    add_completion_class(_each)


def _value(item: CompletionItem[str]) -> str:
    """The shell completes files by itself."""
    return "" if item.type in ("file", "dir") else item.value


def _bash_lines(found: Sequence[CompletionItem[str]], before: str, quote: str) -> Iterator[str]:
    for item in found:
        if item.type in ("file", "dir"):
            yield f"{item.type}\t"
        elif item.value.startswith(before):
            yield f"{item.type}\t{_quoted(item.value.removeprefix(before), quote)}"


def _words(line: str) -> tuple[list[str], str]:
    """The words behind the program's name, and the one at the end, which is empty behind a space."""
    *args, last = split_arg_string(line + "x")
    while args and "=" in args[0]:  # FOO=1 netclnt …
        del args[0]
    return args[1:], last[:-1]


def _open_quote(line: str) -> str:
    """The quote that a line ends in, or nothing."""
    quote, characters = "", iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            next(characters, None)
        elif character == quote:
            quote = ""
        elif character in "'\"" and not quote:
            quote = character
    return quote


def _quoted(text: str, quote: str) -> str:
    """Text as a shell reads it back inside such a quote, or outside of any."""
    if quote == "'":
        return text.replace("'", "'\\''")
    return (_UNSAFE_IN_DOUBLE if quote else _UNSAFE).sub(lambda match: "\\" + match[0], text)
