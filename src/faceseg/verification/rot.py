"""One file that is not as it was written, and the command that mends it."""

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rot:
    """A bad file: its path from the root of the repository, what is wrong, and a shell command that mends it."""

    path: str
    wrong: str
    mend: str


def chain(*commands: str) -> str:
    """Commands that run one after the other, as long as they succeed."""
    return " && ".join(command for command in commands if command)


def rm(*paths: str) -> str:
    """The command that removes files, there or not."""
    return shlex.join(["rm", "-f", *paths])
