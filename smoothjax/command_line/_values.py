"""Checks the values of options; the error for a wrong value gives the right spelling."""

import difflib
import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._options import Word

_OFF, _ON = ("false", "no", "off", "0"), ("true", "yes", "on", "1")
_SYNONYMS = {"bfloat16": "bf16", "fp32": "float32", "f32": "float32", "adam": "adamw", "baseline": "none"}
_FACTORS = {"k": 1_000, "m": 1_000_000}


class _Given(NamedTuple):
    """An option on a command line.

    Attributes:
      flag: as it is typed.
      values: the arguments after it or after its equals sign; for a switch, the next argument.
      equals: whether there is an equals sign.
    """

    flag: str
    values: tuple[str, ...]
    equals: bool


def is_option(argument: str) -> bool:
    """Whether an argument names an option: it begins with a hyphen and is not a negative number."""
    return argument.startswith("-") and len(argument) > 1 and not _is_number(argument)


def check_values(arguments: Sequence[str], hints: Mapping[str, Any], words: Sequence[Word] | None = None) -> None:
    """Refuses values that their option does not take, with one sentence instead of the parser's long explanation.

    Args:
      arguments: the command line.
      hints: types by option, `bool` for switches. Other options are not checked.
      words: arguments without a flag that the command takes; by default they are not checked.

    Raises:
      ValueError: a value is wrong; the message has the right spelling if it can be guessed. Or an argument without a
        flag is missing, superfluous, or not of its type.

    Example:
      >>> check_values(["--size", "97x97"], {"--size": tuple[int, int]})
      Traceback (most recent call last):
      ValueError: --size takes 2 whole numbers, got 97x97: write --size 97 97
    """
    options, loose = _read(arguments, hints)
    for given in options:
        hint = hints[given.flag]
        if hint is not bool:
            _check(given.flag, f"{given.flag} ", hint, given.values)
        elif given.equals or not (given.values and _is_word(given.values[0], loose, words or ())):
            _check_switch(given)
    if words is not None:
        _check_words(loose, words)


def _check(name: str, spelt: str, hint: Any, values: Sequence[str]) -> None:
    """Refuses values that are not of a type; `spelt` is what stands before them on the command line."""
    if _fits(hint, values):
        return
    found = next((each for each in _respelt(hint, values) if _fits(hint, each)), None)
    got = f"{name} takes {_described(hint)}, got {' '.join(values) or 'nothing'}"
    raise ValueError(got if found is None else f"{got}: write {spelt}{' '.join(found)}")


def _read(arguments: Sequence[str], hints: Mapping[str, Any]) -> tuple[list[_Given], list[str]]:
    """The options with what they take, and the arguments that belong to none."""
    given, loose, place = list[_Given](), list[str](), 0
    while place < len(arguments):
        argument = arguments[place]
        flag, equals, value = argument.partition("=")
        place += 1
        if argument == "--":
            loose += arguments[place:]
            break
        if flag not in hints:
            loose += [argument] * (not is_option(argument))
        elif equals:
            given.append(_Given(flag, (value,), True))
        else:
            # The arguments after the values of an option belong to the command.
            following = itertools.takewhile(lambda other: not is_option(other), arguments[place:])
            values = tuple(itertools.islice(following, _most(hints[flag])))
            given.append(_Given(flag, values, False))
            place += len(values) * (hints[flag] is not bool)
    return given, loose


def _is_word(text: str, loose: Sequence[str], words: Sequence[Word]) -> bool:
    """Whether the word after a switch is an argument of the command: one is missing without it, or it is a file."""
    if len(loose) <= sum(word.required for word in words):
        return True
    most = [_most(word.hint) for word in words]
    has_place = None in most or len(loose) <= sum(each or 0 for each in most)
    return has_place and Path(text).exists()


def _check_words(loose: Sequence[str], words: Sequence[Word]) -> None:
    left = list(loose)
    for word in words:
        values = left[: _most(word.hint)]
        del left[: len(values)]
        if values:
            _check(word.name, "", word.hint, values)
        elif word.required:
            raise ValueError(f"{word.name} must be given: {word.text}")
    if left:
        takes = f"it takes {' '.join(word.name for word in words)} and options" if words else "it takes only options"
        raise ValueError(f"the command has no place for {' '.join(left)}: {takes}, which begin with --")


def _check_switch(given: _Given) -> None:
    value = given.values[0].lower() if given.values else ""
    if value not in (*_ON, *_OFF):
        return
    stem, dot, name = given.flag.removeprefix("--").rpartition(".")
    is_off = name.startswith("no-")
    plain = name.removeprefix("no-")
    wanted = f"--{stem}{dot}{plain if (value in _ON) != is_off else f'no-{plain}'}"
    raise ValueError(f"{given.flag} is on or off and takes no value, got {given.values[0]}: write {wanted}")


def _most(hint: Any) -> int | None:
    """The most values that an option takes; None for any number."""
    if hint is bool:
        return 1
    found = [_most(option) for option in _options(hint)]
    if found:
        return None if None in found else max(each for each in found if each is not None)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        return None if inner[1:] == (...,) else len(inner)
    return 1


def _fits(hint: Any, values: Sequence[str]) -> bool:
    """Whether an option of this type takes these values; an unknown type takes any."""
    if options := _options(hint):
        return any(_fits(option, values) for option in options)
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        hints = [inner[0]] * len(values) if inner[1:] == (...,) else inner
        return len(hints) == len(values) and all(
            _fits(each, [value]) for each, value in zip(hints, values, strict=True)
        )
    if len(values) != 1:
        return False
    if hint is type(None):
        return values[0] == "None"
    if typing.get_origin(hint) is typing.Literal:
        return values[0] in map(str, inner)
    if hint in (int, float):
        try:
            hint(values[0])
        except ValueError:
            return False
    return True


def _respelt(hint: Any, values: Sequence[str]) -> Iterator[list[str]]:
    """Spellings that the user may have meant, the likeliest first."""
    choices = [str(choice) for choice in _choices(hint)]
    if _most(hint) == 1:  # then a comma divides no values
        yield [_number(value, hint) for value in values]
    parts = re.split(r"[\s,;]+", re.sub(r"(?<=\d)[x×*](?=\d)", " ", " ".join(values)).strip("()[]{} "))
    for tokens in ([part.strip("'\"") for part in parts if part], list(values)):
        yield tokens
        yield [_number(token, hint) for token in tokens]
        yield [_choice(token, choices) for token in tokens]
    if len(values) == 1:
        yield [_number(values[0], hint)] * (_most(hint) or 1)


def _number(text: str, hint: Any) -> str:
    """A number as Python writes it; whole where the option takes whole numbers."""
    decimal = text.replace(",", ".") if re.fullmatch(r"[-+]?\d*,\d+", text) and not _of(hint, int) else text
    decimal = decimal.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", text) and _of(hint, int) else decimal
    number, factor = decimal, 1
    if decimal[-1:].lower() in _FACTORS and _is_number(decimal[:-1]):
        number, factor = decimal[:-1], _FACTORS[decimal[-1].lower()]
    if not _is_number(number):
        return text
    value = float(number) * factor
    return str(int(value)) if _of(hint, int) and value.is_integer() else f"{value:g}"


def _choice(text: str, choices: Sequence[str]) -> str:
    if text.lower() in ("none", "null", "~") and "none" not in choices:
        return "None"
    plain = {re.sub(r"[-_ ]", "", choice.lower()): choice for choice in choices}
    meant = re.sub(r"[-_ ]", "", text.lower())
    begins = [name for name in plain if len(meant) > 1 and name.startswith(meant)]
    if begins and meant not in plain:
        return plain[begins[0]] if len(begins) == 1 else text
    # No merely similar values: float16 is not float32.
    close = difflib.get_close_matches(_SYNONYMS.get(meant, meant), plain, 1, 0.75)
    return plain[close[0]] if close else text


def _described(hint: Any) -> str:
    """Describes in words what an option takes."""
    options = [option for option in _options(hint) if option is not type(None)]
    if options:
        return ", or ".join(map(_described, options)) + " or None" * (type(None) in _options(hint))
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        one = _described(inner[0])
        if typing.get_origin(inner[0]) is typing.Literal:
            return f"some of {one.removeprefix('one of ')}, with spaces between them"
        many = {"a whole number": "whole numbers", "a number": "numbers"}.get(one, "values")
        return f"{many} with spaces between them" if inner[1:] == (...,) else f"{len(inner)} {many}"
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, inner))}"
    return {int: "a whole number", float: "a number"}.get(hint, "one value")


def _options(hint: Any) -> tuple[Any, ...]:
    """The types of a union; empty for any other type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()


def _leaves(hint: Any) -> Iterator[Any]:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal or not inner:
        yield hint
    for each in inner if typing.get_origin(hint) is not typing.Literal else ():
        yield from _leaves(each)


def _of(hint: Any, kind: type) -> bool:
    return any(leaf is kind for leaf in _leaves(hint))


def _choices(hint: Any) -> list[object]:
    return [
        choice
        for leaf in _leaves(hint)
        if typing.get_origin(leaf) is typing.Literal
        for choice in typing.get_args(leaf)
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
