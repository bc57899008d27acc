"""TeX between dollars as MathML, which browsers draw by themselves: no page loads a script or a font for it."""

import re

from latex2mathml.converter import convert

from .api import CODE

#: A formula between single dollars may go on in the next line, but not in the next paragraph.
_FORMULA = re.compile(
    r"\$\$(?P<block>.+?)\$\$|(?<![\w$\\])\$(?P<line>[^\s$](?:(?:[^$\n]|\n(?!\s*\n))*[^\s$])?)\$(?![\w$])", re.DOTALL
)


def render(text: str) -> str:
    """Markdown with `$...$` and `$$...$$` replaced, outside of code."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    text = _FORMULA.sub(_mathml, CODE.sub(keep, text))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def _mathml(match: re.Match[str]) -> str:
    tex = " ".join((match["block"] or match["line"]).split())
    if match["block"]:
        # Wide formulas scroll by themselves instead of widening the page of a phone.
        return f'<div class="formula">{_escape(convert(tex, display="block"))}</div>'
    # An element of text around it: Markdown takes a line that begins with `<math>` for a block.
    return f"<span>{_escape(convert(tex))}</span>"


def _escape(mathml: str) -> str:
    """As entities, signs that mean something in Markdown; HTML needs no namespace."""
    mathml = mathml.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "").replace(' display="inline"', "")
    for sign in "*_`[]":
        mathml = mathml.replace(sign, f"&#{ord(sign)};")
    return mathml
