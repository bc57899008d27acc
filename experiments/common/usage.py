"""The help of a study's command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .config import Preset, RunConfig
from .options import wrapped
from .run_files import CONFIG_FILE

if TYPE_CHECKING:
    from .cli import Program


def presets_text(program: "Program", command: str) -> str:
    """The list of presets."""
    width = max(map(len, program.presets)) + 2
    lines = [f"  {name:<{width}}{preset.note}" for name, preset in program.presets.items()]
    return (
        "presets:\n"
        + "\n".join(lines)
        + f"\n\n{program.name} {command} PRESET --help lists its options, --help-all explains every one."
    )


def usage_text(program: "Program", general: Mapping[str, str]) -> str:
    """Commands, presets and examples; `general` are the commands that all studies have, with a line each."""
    own = [(f"{name} {command.arguments}", command.summary) for name, command in program.commands.items()]
    commands = [*general.items(), *own]
    width = max(24, *(len(call) + 2 for call, _ in commands))
    return f"""usage: {program.name} [COMMAND ...]

{program.summary}
Without a command: {" ".join(program.default)}; the list of presets says how long that takes.

commands:
{chr(10).join(f"  {call:<{width}}{summary}" for call, summary in commands)}

{presets_text(program, "train")}

examples:
{chr(10).join(f"  {program.name} {example}".rstrip() for example in ["", *program.examples.split(chr(10))[1:-1]])}"""


def preset_help(prog: str, description: str, preset: Preset[RunConfig], options: str) -> str:
    """The help of a preset: its notes, and its options as text."""
    parts = [f"usage: {prog} [OPTIONS]", wrapped(description)]
    if preset.lab_note:
        parts.append(wrapped(preset.lab_note))
    if preset.recipes:
        parts.append("This preset fills rows of published tables: --help-all shows them with their commands.")
    precedence = "options on the command line override them"
    parts += [options, f"--config FILE takes options from a file, such as the {CONFIG_FILE} of a run; {precedence}."]
    return "\n\n".join(parts)
