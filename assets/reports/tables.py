"""What the pages of a week and of the desk's whole history are made from."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import polars as pl

from assets.reports.truth import TruthTables


@dataclass(frozen=True)
class DeskTables:
    """What the desk's lake holds for its traded market, every session and period together."""

    desk: str
    name: str
    """Of the traded market."""
    provenance: str
    multiplier: Decimal
    """Currency per point of price and contract."""
    per_year: int
    """Sessions a year, for annual figures."""
    policies: pl.DataFrame
    """Rows of `quoting_policy`, each with its `period` (date)."""
    reports: pl.DataFrame
    """Rows of `performance_report`, each with its `session` (date), sorted."""
    fills: pl.DataFrame
    """Their fills, as `origin.explained` returns them, each with its `session`."""
    labs: Sequence[dt.date]
    """Periods whose indicators are scored: each has a page of its own."""
    curves: pl.DataFrame
    """Rows of `curve_model`, each with its `period` (date)."""
    scores: pl.DataFrame
    """Rows of `model_scores`, each with its `period` (date)."""
    importance: pl.DataFrame
    """Rows of `model_importance`, each with its `period` (date)."""
    ablation: pl.DataFrame
    """Rows of `policy_ablation`, each with its `session` (date)."""
    what_if: pl.DataFrame
    """Rows of `what_if`, each with its `session` (date)."""
    quality: pl.DataFrame
    """Rows of `book_quality` of every market, each with its `market`, its `session` (date) and whether its recording is `complete`."""
    refused: pl.DataFrame
    """Rows of `quarantine` counted: market, session, reason, rows."""
    truth: TruthTables
    """What was measured of the simulator's truth."""
    live: pl.DataFrame
    """Rows of `live_fills`, each with its `session` (date)."""

    @property
    def unit(self) -> str:
        """Of the money in the reports."""
        return str(self.reports["unit"][0]) if self.reports.height else ""

    @property
    def where(self) -> str:
        """The clause that picks these sessions from a table of the warehouse."""
        days = self.reports["session"]
        span = f" and session between date '{days[0]}' and date '{days[-1]}'" if days.len() else ""
        return f"where market = '{self.name}'{span}"

    def week(self, monday: dt.date) -> "DeskTables":
        """The same, of one week only."""
        session, period = (pl.col(key).is_between(monday, monday + dt.timedelta(days=6)) for key in ("session", "period"))
        return replace(
            self,
            reports=self.reports.filter(session),
            fills=self.fills.filter(session),
            policies=self.policies.filter(period),
            curves=self.curves.filter(period),
            scores=self.scores.filter(period),
            importance=self.importance.filter(period),
            ablation=self.ablation.filter(session),
            what_if=self.what_if.filter(session),
            quality=self.quality.filter(session),
            refused=self.refused.filter(session),
        )
