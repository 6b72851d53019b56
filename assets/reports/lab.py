"""The page of the indicator lab: one period's training window, from the lab's four tables."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from assets.curves.lab.run import LAB
from assets.curves.lab.scores import LEVEL
from assets.desk import Desk
from assets.provenance import open_lake
from assets.reports import figures
from assets.reports.page import Card, Exhibit, Link, Page, Section, Table, number, percent, plain, render, write
from assets.reports.plot import Figure, axes, listed, logarithmic, packed, stroke

_HORIZONS: Final = (1, 2, 5, 10, 20, 30, 60)
"""Seconds, those of the columns rank_1s to rank_60s."""

_SHOWN: Final = 30
"""Indicators drawn at most: the desk's, then the best of those that were only tried. The table has them all."""

_THIN: Final = 2e-4
"""Share of an indicator's rows that a bucket must have to be drawn."""

_SEARCHED: Final = 12
"""Formulas whose search is drawn: those of the best scores."""

_FOOTER: Final = "Training sessions only. Made by tickline from the desk's published tables; docs/lab.md says how each figure is defined."


@dataclass(frozen=True)
class LabTables:
    """The lab's tables of one period."""

    scores: pl.DataFrame
    correlations: pl.DataFrame
    buckets: pl.DataFrame
    trials: pl.DataFrame


def write_lab_page(desk: Desk, period: dt.date) -> Path:
    """Write the page of a period from what the lake holds of it.

    Raises:
        UserError: the period has not been scored, or the page cannot be written.
    """
    lake, keys = open_lake(desk), dict[str, Any](market=desk.traded, period=period)
    tables = {table.removeprefix("indicator_"): lake.read(table, **keys) for table in LAB}
    path = desk.reports / f"lab-{period}.html"
    write(path, lab_page(LabTables(**tables), desk.traded, period, desk.provenance))
    return path


def lab_page(tables: LabTables, name: str, period: dt.date, provenance: str) -> str:
    """HTML of the lab of one period."""
    title = f"{name}, indicators for {period.day} {period:%B %Y}"
    where = f"where market = '{name}' and period = date '{period}'"
    drawn = _drawn(tables.scores)
    sections = [
        Section("Leaderboard", [_cards(tables), *_leaderboard(tables.scores, drawn, where)]),
        Section("How far ahead, and how alike", _matrices(tables, drawn, where)),
        Section("Each indicator by itself", _graphs(tables, drawn, where)),
    ]
    if (tables.trials["sampler"] != "desk").any():
        sections.append(Section("The search for better parameters", _search(tables.trials, where)))
    links = [Link("The desk", "index.html")]
    return render(Page(title, _lead(tables.scores), provenance, sections, links, _FOOTER))


def _lead(scores: pl.DataFrame) -> str:
    if not scores.height:
        return "No training session reaches a minute ahead, so nothing could be scored."
    passed, height = int(scores["passes"].sum()), scores.height
    test = (
        f"{passed} of {height} indicators pass the test: over {scores['sessions'][0]} training sessions their rank correlation with the "
        f"coming move differs from zero, with a chance of at most {LEVEL:.0%} that any passes by luck."
    )
    redundant = scores.select("indicator", "dropped_for").drop_nulls()
    dropped = [f"{indicator} because of {better}" for indicator, better in redundant.iter_rows()]
    return f"{test} {f'Left out as redundant: {_listed(dropped)}.' if dropped else 'None is redundant.'}"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _cards(tables: LabTables) -> list[Card]:
    scores = tables.scores
    if not scores.height:
        return [Card("Indicators", "0")]
    best = scores.sort("r2_alone", descending=True, nulls_last=True).row(0, named=True)
    most = scores.filter("on_desk").sort("r2_added", descending=True, nulls_last=True).row(0, named=True)
    return [
        Card("Indicators", f"{scores.height}", f"{int(scores['on_desk'].sum())} of them the desk's own"),
        Card("Kept", f"{int(scores['kept'].sum())}", "the period's curves are fitted on these"),
        Card("Pass the test", f"{int(scores['passes'].sum())}", f"at {LEVEL:.0%} over all of them (Holm)"),
        Card("Best alone", percent(best["r2_alone"]), f"held-out R² of {best['indicator']}"),
        Card("Adds most", percent(most["r2_added"]), f"held-out R² that {most['indicator']} adds"),
        Card("Tried", f"{tables.trials.height}", "values of parameters, on training sessions"),
    ]


def _drawn(scores: pl.DataFrame) -> list[str]:
    """Names of the indicators that figures show, the one that adds most first."""
    ranked = scores.sort("on_desk", "r2_added", "indicator", descending=[True, True, False], nulls_last=True).head(_SHOWN)
    return ranked.sort("r2_added", "indicator", descending=[True, False], nulls_last=True)["indicator"].to_list()


def _leaderboard(scores: pl.DataFrame, drawn: list[str], where: str) -> list[Exhibit | Table]:
    sql = f"select * from stg_indicator_scores\n{where}\norder by r2_added desc"
    ranked = scores.sort("r2_added", "indicator", descending=[True, False], nulls_last=True)
    figure = _intervals(scores, drawn) if scores["r2_added"].count() else None
    columns = {
        "indicator": ("indicator", plain), "r2_added": ("R² added, %", _hundredths), "r2_alone": ("R² alone, %", _hundredths),
        "rank_correlation": ("rank corr.", number(3)), "stability": ("stability", number(1)), "hit_rate": ("hit rate", percent),
        "monotonicity": ("monotone", number(2)), "p_adjusted": ("p, Holm", _p_value), "passes": ("passes", _yes),
        "closest": ("closest", plain), "closest_correlation": ("corr.", number(2)), "kept": ("kept", _yes),
        "dropped_for": ("dropped for", plain),
    }  # fmt: skip
    return [
        Exhibit(
            "leaderboard",
            "What each indicator adds, and what it is worth alone",
            "R² on held-out sessions. A filled dot is what the indicator adds to the desk's other indicators, a hollow dot what it is "
            "worth alone. Lines are 95 % intervals from how sessions differ. An indicator that adds nothing may say "
            "much alone: then others say it too.",
            figure,
            sql,
        ),
        Table(
            "Every indicator",
            "Stability is the mean of the sessions' rank correlations over their standard deviation. Hit rate is the share of moves whose "
            "direction the indicator had right. Closest is the indicator most like it, with their correlation.",
            ranked,
            columns,
            sql,
        ),
    ]


def _intervals(scores: pl.DataFrame, drawn: list[str]) -> Figure:
    rows = _in_order(scores, drawn[::-1])
    data = []
    for kind, told, fill, symbol in (("r2_alone", "alone", "--panel", "circle"), ("r2_added", "added", "--buy", "circle")):
        value, low, high = (100 * rows[name].to_numpy() for name in (kind, f"{kind}_low", f"{kind}_high"))
        colour = "--muted" if told == "alone" else "--buy"
        data.append(
            {
                "type": "scatter", "mode": "markers", "name": told, "x": packed(value), "y": rows["indicator"].to_list(),
                "marker": {"color": fill, "size": 8, "symbol": symbol, "line": {"color": colour, "width": 1.5}},
                "error_x": {
                    "type": "data", "symmetric": False, "array": packed(np.maximum(high - value, 0)),
                    "arrayminus": packed(np.maximum(value - low, 0)), "color": colour, "thickness": 1.25, "width": 3,
                },
                "hovertemplate": f"%{{y}} {told}: %{{x:.3f}} %<extra></extra>",
            }
        )  # fmt: skip
    figure = listed(data, rows.height)
    figure["layout"] |= {"showlegend": True, "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}}
    figure["layout"]["margin"] |= {"t": 28}
    figure["layout"]["xaxis"] |= {"title": {"text": "held-out R², %"}, "zeroline": True}
    return figure


def _matrices(tables: LabTables, drawn: list[str], where: str) -> list[Exhibit | Table]:
    decay = _in_order(tables.scores, drawn[::-1]).select(f"rank_{horizon}s" for horizon in _HORIZONS).to_numpy()
    labels = [f"{horizon} s" for horizon in _HORIZONS]
    return [
        Exhibit(
            "decay",
            "How far ahead each sees",
            "Rank correlation with the move over the next 1 to 60 seconds. A row that pales to the right is forgotten soon: an order that "
            "takes longer to fill finds little of it left.",
            _heat(decay, labels, drawn[::-1], float(np.abs(decay).max(initial=1e-9))) if drawn else None,
            f"select indicator, {', '.join(f'rank_{horizon}s' for horizon in _HORIZONS)} from stg_indicator_scores\n{where}",
        ),
        Exhibit(
            "correlations",
            "How alike they are",
            "Rank correlation of each pair, averaged over the training sessions. The columns stand in the order of the rows. A block of "
            "one colour says one thing several times.",
            _heat(_square(tables.correlations, drawn)[::-1], drawn, drawn[::-1], 1.0) if drawn else None,
            f"select * from stg_indicator_correlations\n{where}",
        ),
    ]


def _heat(values: np.ndarray, across: list[str], down: list[str], most: float) -> Figure:
    trace: dict[str, Any] = {
        "type": "heatmap", "x": across, "y": down, "z": [[None if np.isnan(z) else round(float(z), 4) for z in row] for row in values],
        "zmin": -most, "zmax": most, "colorscale": [[0, "--sell"], [0.5, "--panel"], [1, "--buy"]], "xgap": 1, "ygap": 1,
        "texttemplate": "%{z:.2f}" if len(across) <= len(_HORIZONS) else "", "textfont": {"size": 11, "color": "--ink"},
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>", "showscale": False,
    }  # fmt: skip
    figure = listed([trace], len(down))
    figure["layout"]["xaxis"] |= {"type": "category", "tickangle": -90 if len(across) > len(_HORIZONS) else 0, "dtick": 1}
    figure["layout"]["xaxis"]["tickfont"] = {"size": 11}
    figure["layout"]["height"] += 110 if len(across) > len(_HORIZONS) else 0
    # A phone has no room for numbers in the cells, nor for more than a few names below them.
    return figure | {"phone": {"traces": {"texttemplate": ""}, "layout": {"xaxis": {"showticklabels": len(across) <= len(_HORIZONS)}}}}


def _square(correlations: pl.DataFrame, names: list[str]) -> np.ndarray:
    place = {name: number for number, name in enumerate(names)}
    square = np.eye(len(names))
    for first, second, value in correlations.filter(pl.col("indicator").is_in(names) & pl.col("other").is_in(names)).iter_rows():
        a, b = place[first], place[second]
        square[a, b] = square[b, a] = np.nan if value is None else value
    return square


def _graphs(tables: LabTables, drawn: list[str], where: str) -> list[Exhibit | Table]:
    # A mean of a handful of rows would stretch the axis until nothing else is seen.
    told = tables.buckets.filter(pl.col("count") > _THIN * pl.col("count").sum().over("indicator"))
    graphs: list[Exhibit | Table] = []
    for place, indicator in enumerate(drawn):
        rows = told.filter(pl.col("indicator") == indicator)
        if rows.height:
            sql = f"select * from stg_indicator_buckets\n{where} and indicator = '{indicator}'"
            how = "Dots: the mean move of each bucket of |indicator|, in ticks. Line: the indicator's own curve with its 95 % band."
            graphs.append(Exhibit(f"graph-{place}", indicator, how, figures.curve(rows), sql, small=True))
    return graphs


def _search(trials: pl.DataFrame, where: str) -> list[Exhibit | Table]:
    best = trials.filter("best").sort("score", descending=True)
    columns = {
        "indicator": ("best", plain), "sampler": ("found by", plain), "score": ("R² added, %", _hundredths),
        "r2_alone": ("R² alone, %", _hundredths), "desk": ("the desk's best, %", _hundredths), "tries": ("tries", number()),
    }  # fmt: skip
    kind = ["formula", "leader"]
    of_desk = trials.filter(sampler="desk").group_by(kind).agg(desk=pl.col("score").max())
    told = best.join(of_desk, on=kind, how="left").join(trials.group_by(kind).agg(tries=pl.len()), on=kind, how="left")
    table = Table(
        "The best value of each formula",
        "R² added is on held-out sessions, beside the desk's indicators of other formulas or markets: what the value is worth in the place "
        "of the desk's own. The best of many tries looks better than it is. The desk changes only when its file does.",
        told.sort("score", descending=True, nulls_last=True),
        columns,
        f"select * from stg_indicator_trials\n{where}",
    )
    timed = best.filter(pl.col("tau").is_not_null()).head(_SEARCHED)
    small = []
    for place, row in enumerate(timed.iter_rows(named=True)):
        of_it = f"{where} and formula = '{row['formula']}' and leader = '{row['leader']}'"
        sql = f"select tau, sampler, score from stg_indicator_trials\n{of_it} order by tau"
        title = f"{row['leader']} {row['formula']}".strip()
        how = "A dot is a value of tau that was tried, and the held-out R² that it adds, in %."
        small.append(Exhibit(f"search-{place}", title, how, _tries(trials, row), sql, small=True))
    return [table, *small]


def _tries(trials: pl.DataFrame, of: dict[str, Any]) -> Figure:
    rows = trials.filter(formula=of["formula"], leader=of["leader"]).drop_nulls("score").sort("tau")
    data = []
    for sampler, colour in (("desk", "--sell"), ("grid", "--muted"), ("tpe", "--buy")):
        some = rows.filter(sampler=sampler)
        dots = stroke(sampler, some["tau"].to_numpy(), 100 * some["score"].to_numpy(), colour, width=1)
        names = {"text": some["indicator"].to_list(), "hovertemplate": "%{text}: %{y:.3f} %<extra></extra>"}
        data.append(dots | {"mode": "markers", "marker": {"color": colour, "size": 7}} | names)
    figure = axes(data, height=220, hovermode="closest")
    logarithmic(figure, rows["tau"].to_numpy())
    figure["layout"]["xaxis"] |= {"title": {"text": "tau, s"}}
    figure["layout"]["margin"] = {"l": 48, "r": 8, "t": 28, "b": 40}
    return figure


def _in_order(scores: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"indicator": names}, schema={"indicator": pl.String}).join(
        scores, on="indicator", how="left", maintain_order="left"
    )


def _hundredths(value: float | None) -> str:
    return number(3)(None if value is None else 100 * value)


def _p_value(value: float | None) -> str:
    return plain(None) if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
