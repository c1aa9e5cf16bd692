"""A user's file -> Config, or every problem in it at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Union

from pydantic import ValidationError

from ipsecmon.config.agreement import disagreements, empty_values
from ipsecmon.config.document import MAX_OCTETS, read_document
from ipsecmon.config.problems import Problem, render_key
from ipsecmon.config.settings import Config
from ipsecmon.config.translation import translate
from ipsecmon.errors import ConfigError

__all__ = ["ConfigErrors", "load", "parse"]


class ConfigErrors(ConfigError):
    """Everything that is wrong with a file, in the order of its lines; str() is one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load(path: Union[str, Path]) -> Config:
    """The checked configuration of a file. Raises ConfigErrors."""
    return parse(_text(Path(path)), str(path))


def parse(text: str, filename: str) -> Config:
    """The checked configuration of a text; filename is for messages. Raises ConfigErrors."""
    if len(text) > MAX_OCTETS:
        raise ConfigErrors([_too_large(filename)])
    document = read_document(text, filename)
    if document.root is None:
        raise ConfigErrors(document.problems)
    empty = empty_values(document)
    problems = [*document.problems, *empty.values(), *disagreements(document)]
    told = {render_key(path) for path in (*empty, *document.unread)}
    try:
        config = Config.model_validate(document.root)
    except ValidationError as error:
        judged = translate(error, document, Config)
        raise ConfigErrors([*problems, *(one for one in judged if one.key not in told)]) from None
    if problems:
        raise ConfigErrors(problems)
    return config


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
        if len(octets) > MAX_OCTETS:
            raise ConfigErrors([_too_large(str(path))])
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: octet {error.start} is 0x{error.object[error.start]:02x}"
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigErrors([Problem(str(path), line, "", message)]) from None
    except (OSError, ValueError) as error:
        raise ConfigErrors([Problem(str(path), None, "", _unreadable(error))]) from error


def _unreadable(error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        return "is a folder; name the file in it"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be read: {reason}"


def _too_large(filename: str) -> Problem:
    return Problem(filename, None, "", f"is larger than {MAX_OCTETS // 1024} KiB")
