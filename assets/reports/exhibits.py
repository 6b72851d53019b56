"""What the pages of a session, a week and the desk have in common: where the money came from, and a model's curves."""

from decimal import Decimal
from typing import Final

import polars as pl

from assets.reports import figures, origin
from assets.reports.page import Exhibit, Table, Teller, either, money, number, plain


def origin_queries(where: str, multiplier: Decimal) -> dict[str, str]:
    """The SQL of `origins` for the sessions that a where clause picks."""
    later = ",\n".join(
        f"       sum(side * ({mid} - price) * quantity) filter ({mid} is not null)\n"
        f"       / sum(quantity) filter ({mid} is not null) / 1e9 * {multiplier} as after_{seconds}s"
        for seconds, mid in origin.HORIZONS.items()
    )
    return {
        "made_of": "select sum(spread_captured) as spread_captured, -sum(slippage) as slippage,\n"
        "       sum(gross_pnl - spread_captured + slippage) as moves, -sum(fees) as fees, sum(net_pnl) as net\n"
        f"from performance_report\n{where}",
        **{name: _breakdown_query(where, multiplier, key) for name, key in _KEYS.items()},
        "markouts": f"select side,\n{later}\nfrom fills\n{where} group by rollup (side)",
    }


_KEYS: Final = {
    "hour": "ts_event // 3600000000000 % 24",
    "side": "case side when 1 then 'bought, ' else 'sold, ' end || liquidity",
    "queue": "case when liquidity = 'maker' then case "
    + " ".join(f"when queue_ahead >= {edge} then {edge}" for edge in reversed(origin.QUEUE_EDGES))
    + " when queue_ahead is not null then 0 end end",
    "score": "case when score is not null then (row_number() over (order by score nulls last) - 1) * 4 // count(score) over () + 1 end",
}
"""The keys of `origin.breakdown` in SQL."""


def _breakdown_query(where: str, multiplier: Decimal, key: str) -> str:
    worth = f"* {multiplier} / 1e9"
    return (
        "with sent as (select market, session, order_id, any_value(queue_ahead) as queue_ahead, any_value(score) as score\n"
        "    from orders where kind = 'new' group by all),\n"
        f"told as (select *, {key} as key, fee / quantity / 1e9 as paid, side * (mid - price) {worth} as edge,\n"
        f"    side * (mid_10s - price) {worth} as after_10s, side * (mid_60s - price) {worth} as after_60s\n"
        f"    from fills left join sent using (market, session, order_id)\n    {where})\n"
        "select key, count(*) as fills, sum(quantity) as contracts, sum(edge * quantity) / sum(quantity) as edge,\n"
        "    sum(after_10s * quantity) / sum(quantity) filter (after_10s is not null) as after_10s,\n"
        "    sum(after_60s * quantity) / sum(quantity) filter (after_60s is not null) as after_60s,\n"
        "    sum(paid * quantity) / sum(quantity) as fee, sum((after_10s - paid) * quantity) as kept\n"
        "from told group by key order by key"
    )


def origins(report: pl.DataFrame, told: pl.DataFrame, sql: dict[str, str]) -> list[Exhibit | Table]:
    """What the money is made of.

    Args:
        report: rows of `performance_report`.
        told: their fills, as `origin.explained` returns them.
        sql: what `origin_queries` returns, or nothing where there is no warehouse.
    """
    if not told.height:
        return [Exhibit("made-of", "What the net is made of", "", None)]
    unit = report["unit"][0]
    kept = {
        "fills": ("Fills", number()),
        "contracts": ("Contracts", number()),
        "edge": ("At the fill", money),
        "markout_10s": ("After 10 s", money),
        "markout_60s": ("After 60 s", money),
        "paid": ("Fee", number(2)),
        "kept": ("Kept in all", money),
    }

    def table(title: str, how: str, by: pl.Expr, key: tuple[str, Teller], query: str) -> Table:
        means = (
            f"Figures are {unit} a contract on average, before fees. Kept in all is the total over these contracts: "
            "what each was worth 10 s after its fill, less its fee."
        )
        return Table(title, f"{how} {means}", origin.breakdown(told, by), {"key": key, **kept}, sql.get(query))

    return [
        Exhibit(
            "made-of",
            f"What the net is made of, {unit}",
            "Spread captured is what resting orders earned against the mid at their fills. Slippage is what taking orders paid. Moves is "
            "what the positions earned as the mid moved afterwards; below zero, the market went against the fills. The mid is the middle "
            "between the best bid and ask.",
            figures.waterfall(origin.made_of(report), unit),
            sql.get("made_of"),
        ),
        Exhibit(
            "markouts",
            f"What a fill was worth as time went on, {unit} a contract",
            "The mean over all contracts of side × (mid later − price), before fees; side is +1 for a buy and −1 for a sale. A line begins "
            "with what the orders earned of the spread. A line that falls says that the market went against the fills. One that ends below "
            "the fee says that the fills lost money.",
            figures.markouts(origin.markouts(told), unit),
            sql.get("markouts"),
        ),
        table("By hour", "Hour of the day, UTC.", origin.by_hour(), ("Hour", number()), "hour"),
        table("By side", "A maker order rested in the book, a taker order took from it.", origin.by_side(), ("Side", plain), "side"),
        table(
            "By place in the queue",
            "Contracts that were ahead of the order when it arrived: this many or more, and fewer than in the next row.",
            origin.by_queue(),
            ("Ahead", either("taken", number())),
            "queue",
        ),
        table(
            "By score",
            "The fills in four equal parts, by the score that sent their order. Quarter 1 has the lowest scores.",
            origin.by_score(),
            ("Quarter", either("no score", number())),
            "score",
        ),
    ]


def curve_exhibits(curves: pl.DataFrame, sql: str | None) -> list[Exhibit | Table]:
    """What each indicator adds, and a small figure for each, the one that moves the prediction most first.

    Args:
        curves: rows of `curve_model` of one period.
        sql: the query that gives them.
    """
    ranked = importance(curves)
    first, last = curves["first_session"][0], curves["last_session"][0]
    whole = Exhibit(
        "importance",
        "What each indicator adds",
        f"The model was trained on {first} to {last}. A bar is the root mean square of what the indicator's curve adds to the predicted "
        "move. Each figure below has one indicator. A dot is the mean move of a bucket of |indicator|; it is larger with more rows. The "
        "line is the joint fit with its 95 % band: it holds only what the other indicators do not explain. Both are in ticks.",
        figures.weights(ranked),
        sql,
    )
    small = []
    for place, indicator in enumerate(ranked["indicator"]):
        figure = figures.curve(curves.filter(pl.col("indicator") == indicator))
        of_it = sql and f"select * from (\n{sql})\nwhere indicator = '{indicator}'"
        small.append(Exhibit(f"curve-{place}", indicator, "Dots: bucket means. Line: the joint fit.", figure, of_it, small=True))
    return [whole, *small]


def importance(curves: pl.DataFrame) -> pl.DataFrame:
    """Indicators by the root mean square of their curve over the training rows, in ticks: indicator, weight."""
    rows = pl.col("count").sum()
    weight = pl.when(rows > 0).then(((pl.col("value") ** 2 * pl.col("count")).sum() / rows).sqrt()).otherwise(0.0)
    return curves.group_by("indicator").agg(weight=weight).sort("weight", "indicator", descending=[True, False])
