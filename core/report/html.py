"""Pieces of HTML: everything that comes from a run is escaped here."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any


def text(value: object) -> str:
    """Anything as the text of an element."""
    return escape(str(value))


def section(name: str, title: str, *parts: str) -> str:
    """A section that the page's navigation leads to; empty where it has no parts."""
    body = "".join(parts)
    return f'<section id="{name}"><h2>{text(title)}</h2>{body}</section>' if body else ""


def paragraph(words: str) -> str:
    return f"<p>{text(words)}</p>"


def facts(rows: Mapping[str, object]) -> str:
    """Names with their values; those that are None are left out."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows.items() if value is not None)
    return f'<dl class="facts">{items}</dl>' if items else ""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are HTML; the first of a row is its header. On a narrow page it is scrolled by itself."""
    headers = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f'<tr><th scope="row">{first}</th>{"".join(map(_cell, rest))}</tr>' for first, *rest in rows)
    label = f'role="region" aria-label="{escape(caption, quote=True)}" tabindex="0"'
    inside = f"<caption>{text(caption)}</caption><thead><tr>{headers}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll" {label}><table>{inside}</table></div>'


def _cell(cell: str) -> str:
    return cell if cell.startswith("<td") else f"<td>{cell}</td>"


def number(value: str, *, best: bool = False) -> str:
    """A cell with a number, which is marked where it is the best of its column."""
    return f'<td class="number best">{value}</td>' if best else f'<td class="number">{value}</td>'


def picture(png: bytes, caption: str, alt: str, *, wide: bool = False) -> str:
    """A picture in the page itself; a wide one keeps its size on a narrow page and is scrolled."""
    data = base64.b64encode(png).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}">'
    inside = f'<div class="scroll wide">{image}</div>' if wide else image
    return f"<figure><figcaption>{text(caption)}</figcaption>{inside}</figure>"


def folded(title: str, content: str) -> str:
    """What is shown once it is asked for."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def listing(content: str) -> str:
    return f"<pre><code>{text(content)}</code></pre>"


def page(title: str, header: str, main: str, footer: str, links: Mapping[str, str]) -> str:
    """The whole document, with its style and its navigation."""
    style = Path(__file__).with_name("style.css").read_text("utf-8")
    items = "".join(f'<li><a href="#{name}">{text(label)}</a></li>' for name, label in links.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header>{header}<nav aria-label="Sections"><ul>{items}</ul></nav></header>\n'
        f"<main>{main}</main>\n<footer>{footer}</footer>\n</body>\n</html>\n"
    )


def joined(parts: Iterable[Any]) -> str:
    return "".join(str(part) for part in parts if part)
