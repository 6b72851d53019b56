"""A report page: one HTML file that carries its figures, its style and plotly.js, and asks nothing of any host.

What every page is made of, whatever it reports on: headline cards, sections, exhibits (a figure with a
caption that says how to read it and the SQL that makes it) and tables. Same parts, same bytes.
"""

import base64
import contextlib
import gzip
import html
import json
import os
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final

import polars as pl

from assets.desk import UserError
from assets.reports.plot import Figure

_DASH: Final = "–"
"""What stands where there is no figure."""


Teller = Callable[[Any], str]
"""Writes a value as HTML."""


class ReportError(UserError):
    """A report that cannot be made or written; the message names the file or session and the remedy."""


@dataclass(frozen=True)
class Exhibit:
    """A figure with its caption; `small` ones stand side by side."""

    name: str
    title: str
    how_to_read: str
    figure: Figure | None
    sql: str | None = None
    small: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings; each column is told by a formatter."""

    title: str
    how_to_read: str
    rows: pl.DataFrame
    columns: dict[str, tuple[str, Teller]]
    sql: str | None = None


@dataclass(frozen=True)
class Card:
    """One headline figure."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Link:
    """A way to another page, relative to this one."""

    text: str
    href: str


Part = Exhibit | Table | Link | Sequence[Card]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """All that a page says."""

    title: str
    lead: str
    provenance: str
    sections: Sequence[Section]
    links: Sequence[Link] = ()
    footer: str = ""


def render(page: Page) -> str:
    """The whole page as text."""
    exhibits = [part for section in page.sections for part in section.parts if isinstance(part, Exhibit) and part.figure]
    figures = [{"id": f"plot-{exhibit.name}", **(exhibit.figure or {})} for exhibit in exhibits]
    nav = "".join(_link(link) for link in page.links)
    return _template().substitute(
        title=html.escape(page.title),
        lead=html.escape(page.lead),
        provenance=html.escape(page.provenance),
        nav=f"<nav>{nav}</nav>" if nav else "",
        body="\n".join(_section(section) for section in page.sections),
        footer=html.escape(page.footer),
        # "</" would end the script element, wherever in a string it stood.
        figures=json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"),
        plotly=_plotly(),
    )


def write(path: Path, text: str) -> None:
    """Put the page where readers find it, whole or not at all.

    Raises:
        ReportError: the disk refuses; a page that was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"the report {path} could not be written: {reason}; free space or fix permissions, then run it again") from error
    finally:
        # With the folder itself in the way there is nothing to tidy, and a second error would hide the first.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def money(value: float | None) -> str:
    """Signed, thousands apart, cents unless they would not matter: +1,234.50, +123,456, – for none."""
    if value is None:
        return _DASH
    return _minus(f"{value:+,.2f}" if abs(value) < 100_000 else f"{value:+,.0f}")


def number(digits: int = 0) -> Teller:
    """A plain number with so many decimals."""
    return lambda value: _DASH if value is None else _minus(f"{value:,.{digits}f}")


def _minus(text: str) -> str:
    """The number's own minus sign, and none nor a plus before a zero."""
    return text.replace("-", "\N{MINUS SIGN}") if text.strip("+-0.,%") else text.lstrip("+-")


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal."""
    return _DASH if value is None else _minus(f"{value:.1%}")


def plain(value: object) -> str:
    """As it is, made safe for HTML."""
    return _DASH if value is None else html.escape(str(value))


def fall(value: float | None) -> str:
    """How far below its peak something fell, as `money` below zero: of a table that holds the depth, which is above zero."""
    return money(None if value is None else -value)


def either(other: str, told: Teller) -> Teller:
    """As `told`, and `other` where there is no value."""
    return lambda value: plain(other) if value is None else told(value)


def to_page(kind: str) -> Teller:
    """A date that leads to the page of that `kind`, say "session"."""
    return lambda day: f'<a href="{kind}-{day}.html">{day}</a>'


def _section(section: Section) -> str:
    parts, grid = [f"<section><h2>{html.escape(section.title)}</h2>"], False
    for part in section.parts:
        small = isinstance(part, Exhibit) and part.small
        if small != grid:
            parts.append('<div class="small">' if small else "</div>")
        grid = small
        parts.append(_part(part))
    return "\n".join([*parts, "</div></section>" if grid else "</section>"])


def _part(part: Part) -> str:
    match part:
        case Exhibit():
            return _exhibit(part)
        case Table():
            return _table(part)
        case Link():
            return f"<p>{_link(part)}</p>"
        case _:
            return f'<dl class="cards">{"".join(_card(card) for card in part)}</dl>'


def _exhibit(exhibit: Exhibit) -> str:
    name, title, how = (html.escape(text) for text in (exhibit.name, exhibit.title, exhibit.how_to_read))
    caption = f"<figcaption><h3>{title}</h3>{f'<p>{how}</p>' if how else ''}</figcaption>"
    if not exhibit.figure:
        return f'<figure id="{name}">{caption}<p class="none">Nothing to draw: no rows.</p>{_sql(exhibit.sql)}</figure>'
    height = exhibit.figure["layout"]["height"]
    plot = f'<div class="plot" id="plot-{name}" style="height:{height}px" role="img" aria-label="{title}"></div>'
    return f'<figure id="{name}" tabindex="0">{caption}{plot}{_sql(exhibit.sql)}</figure>'


def _table(table: Table) -> str:
    title, how = html.escape(table.title), html.escape(table.how_to_read)
    kinds = {name: _kind(place, table.rows.schema[name]) for place, name in enumerate(table.columns)}
    head = "".join(f'<th scope="col"{kinds[name]}><span>{html.escape(label)}</span></th>' for name, (label, _) in table.columns.items())
    lines = (
        "".join(f"<td{kinds[name]}>{told(row[name])}</td>" for name, (_, told) in table.columns.items())
        for row in table.rows.iter_rows(named=True)
    )
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    rows = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else '<p class="none">No rows.</p>'
    region = f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{rows}</div>'
    return f'<div class="panel"><h3>{title}</h3><p>{how}</p>{region}{_sql(table.sql)}</div>'


def _kind(place: int, column: pl.DataType) -> str:
    """The class of a column's cells: words, and whatever names the row, stand on the left, numbers on the right."""
    return "" if place and column.is_numeric() else ' class="words"'


def _card(card: Card) -> str:
    note = f"<small>{html.escape(card.note)}</small>" if card.note else ""
    return f"<div><dt>{html.escape(card.label)}</dt><dd>{html.escape(card.value)}{note}</dd></div>"


def _link(link: Link) -> str:
    return f'<a href="{html.escape(link.href)}">{html.escape(link.text)}</a>'


def _sql(query: str | None) -> str:
    return f"<details><summary>SQL</summary><pre>{html.escape(query.strip())}</pre></details>" if query else ""


@cache
def _template() -> Template:
    text = pkgutil.get_data("assets.reports", "page.html")
    if text is None:
        raise ReportError("assets/reports/page.html is not installed: install the package again")
    return Template(text.decode())


@cache
def _plotly() -> str:
    """plotly.js as gzip in base64: 1.9 MB a page instead of 4.8; without a time stamp, so that the same version gives the same bytes."""
    script = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    if script is None:
        raise ReportError("the plotly package has no plotly.min.js: install plotly again")
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()
