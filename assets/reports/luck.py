"""Whether a result may be luck, and what other ways to trade would have come to."""

import polars as pl

from assets.reports import history_figures, statistics
from assets.reports.page import Card, Exhibit, Table, Teller, money, number, percent, plain
from assets.reports.tables import DeskTables


def luck(tables: DeskTables) -> list[Exhibit | Table | list[Card]]:
    """How far the result can be told from chance."""
    net = tables.reports["net_pnl"].to_numpy()
    interval = statistics.mean_interval(net)
    enough = statistics.sessions_to_convince(net)
    mean = float(net.mean()) if len(net) else None
    policies = tables.policies
    trials, counted = (number()(policies[name].max() if policies.height else None) for name in ("trials", "dsr_trials"))
    between = f"95 % interval: {money(interval[0])} to {money(interval[1])}" if interval else "too few sessions, or all alike"
    cards = [
        Card("Mean session", money(mean), between),
        Card(
            "Chance does as well",
            percent(statistics.chance(net)),
            f"where the true mean is zero; t is {number(2)(statistics.t_statistic(net))}",
        ),
        Card("Record to convince", number()(enough), f"sessions with this Sharpe ratio, for 95 % certainty; there are {len(net)}"),
        Card(
            "Deflated Sharpe",
            percent(_median(policies["dsr"])),
            f"chance that the policy chosen in training has a Sharpe ratio above zero, after as many trials as traded, {counted} of "
            f"{trials} at most; of the median period",
        ),
        Card(
            "Overfitting (PBO)",
            percent(_median(policies["pbo"])),
            "chance that the search's choice is below the median elsewhere; 50 % where there is nothing to find",
        ),
    ]
    how = (
        "The grey bell is the net P&L that chance alone gives over as many sessions, if the true mean of a session is zero. Its width "
        "comes from how the sessions differ. The line is what came: where it stands within the bell, it cannot be told from chance."
    )
    sql = (
        "select sum(net_pnl) as net, stddev_samp(net_pnl) * sqrt(count(*)) as standard_error, count(*) - 1 as degrees_of_freedom\n"
        f"from performance_report\n{tables.where}"
    )
    bell = Exhibit("luck", "What chance alone would give", how, history_figures.luck(tables.reports, tables.unit), sql)
    return [cards, bell, *([_chosen(tables)] if policies.height else [])]


def _chosen(tables: DeskTables) -> Table:
    """What each period's search settled on."""
    columns: dict[str, tuple[str, Teller]] = {
        "period": ("Period", plain),
        "indicators": ("Indicators", plain),
        "threshold": ("Threshold", number(2)),
        "prediction_weight": ("Prediction", number(2)),
        "level_weight": ("Level", number(2)),
        "ahead_weight": ("Ahead", number(2)),
        "behind_weight": ("Behind", number(2)),
        "hysteresis": ("Hysteresis", number(2)),
        "net_pnl_train": ("In training", money),
        "dsr": ("Deflated", percent),
        "pbo": ("PBO", percent),
    }
    how = (
        "What earned most on the training sessions of each period: the set of indicators that predicts, the threshold that a score has to "
        "reach, and the weights of what is in the score, in ticks. With a threshold of a thousand the policy stands aside. Settings that "
        "jump from period to period are chance."
    )
    sql = f"select {', '.join(columns)} from quoting_policy\nwhere market = '{tables.name}' order by period"
    return Table("What each search chose", how, tables.policies.sort("period"), columns, sql)


def _median(values: pl.Series) -> float | None:
    middle = values.median()
    return middle if isinstance(middle, float) else None


def ways(tables: DeskTables) -> list[Exhibit | Table]:
    """The policy without each of its factors, and simpler ways to trade, on the same sessions."""
    if not tables.ablation.height:
        return []
    rows = compared(tables.ablation).with_columns(way=pl.col("variant").str.replace_all("_", " "))
    sql = (
        "with traded as (select variant, session, net_pnl, contracts, net_pnl - max(net_pnl) filter (variant = 'full')\n"
        "    over (partition by session) as less_full from policy_ablation\n"
        f"    {tables.where})\n"
        "select variant, count(*) as sessions, avg(net_pnl) as mean_day, avg(less_full) as less_full, avg(contracts) as contracts\n"
        "from traded group by variant order by mean_day desc, variant"
    )
    how = (
        f"Net P&L of the mean session, {tables.unit}: traded by the policy as it is (full), without one of its factors, or in a simpler "
        "way. Sessions, predictions and exchange are the same. Lines are 95 % intervals by Student's t, a session one observation; where "
        "two overlap much, these sessions cannot tell the ways apart."
    )
    columns = {
        "way": ("Way to trade", plain),
        "sessions": ("Sessions", number()),
        "mean": ("Mean session", money),
        "low": ("from", money),
        "high": ("to", money),
        "difference": ("Less the policy", money),
        "difference_low": ("from", money),
        "difference_high": ("to", money),
        "contracts": ("Contracts a session", number()),
    }
    against = (
        f"Money is in {tables.unit}. Less the policy is the mean of each session's difference from the policy as it is: what moved both is "
        "left out. From and to are the ends of the 95 % interval."
    )
    return [
        Exhibit(
            "ways",
            f"Other ways to trade, {tables.unit} a session",
            how,
            history_figures.intervals(rows.select("mean", "low", "high", label="way"), f"{tables.unit} a session"),
            sql,
        ),
        Table("Ways to trade", against, rows, columns, sql),
    ]


def assumptions(what_if: pl.DataFrame, currency: str, where: str) -> list[Exhibit]:
    """The same sessions, policy and predictions with another wire, and with the queue known in other ways.

    Args:
        what_if: its rows, each with its `session`.
        currency: of the money.
        where: the clause that picks these sessions from the warehouse.
    """
    if not what_if.height:
        return []
    unit = f"{currency} a session"
    sql = (
        "select assumption, setting, any_value(latency_ms) as latency_ms, count(*) as sessions, avg(net_pnl) as mean_day,\n"
        "       avg(contracts) as contracts from what_if\n"
        f"{where} and assumption = '%s' group by assumption, setting order by latency_ms, mean_day desc"
    )
    wire, queue = (
        mean_sessions(what_if.filter(pl.col("assumption") == name).sort("latency_ms", maintain_order=True), "setting")
        for name in ("latency", "queue")
    )
    resampled = "Net P&L of the mean session, with a 95 % interval by Student's t; one session has none."
    return [
        Exhibit(
            "latency",
            f"P&L against latency, {unit}",
            "The delay is one way: from our decision to the exchange, and as long again for the answer. The desk's own delay is in its "
            f"file. {resampled} A result that falls away at the next longer delay depends on speed.",
            history_figures.against(wire.with_columns(pl.col("label").str.strip_suffix(" ms")), unit, "delay one way, ms"),
            sql % "latency",
        ),
        Exhibit(
            "queue-bounds",
            f"P&L between the queue's bounds, {unit}",
            "A cancel in our queue comes from behind us (pessimist), from ahead of us (optimist), or in an estimated share. Exact follows "
            f"the queue order by order, where the source tells it. {resampled}",
            history_figures.intervals(queue.sort("mean", "label", descending=[True, False]), unit),
            sql % "queue",
        ),
    ]


def mean_sessions(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Mean net P&L of a session with its interval, for each value of `key` in the order in which they come: label, mean, low, high."""
    told = []
    for (name,), some in rows.group_by(key, maintain_order=True):
        net = some.sort("session")["net_pnl"].to_numpy()
        low, high = statistics.mean_interval(net) or (None, None)
        told.append({"label": name, "mean": float(net.mean()), "low": low, "high": high})
    return pl.DataFrame(told, schema={"label": pl.String, **dict.fromkeys(("mean", "low", "high"), pl.Float64)})


def compared(ablation: pl.DataFrame) -> pl.DataFrame:
    """Each variant's mean session with its interval, and the same of its difference from the policy as it is.

    Args:
        ablation: rows of `policy_ablation`, each with its `session` (date).

    Returns:
        variant, sessions, mean, low, high, difference, difference_low, difference_high, contracts; the best mean first; intervals are
        null with a single session.
    """
    full = ablation.filter(pl.col("variant") == "full").select("session", full="net_pnl")
    told = ablation.join(full, on="session").sort("session")
    rows = []
    for (name,), some in told.group_by("variant", maintain_order=True):
        net = some["net_pnl"].to_numpy()
        less = net - some["full"].to_numpy()
        row = {"variant": name, "sessions": len(net), "mean": float(net.mean()), "difference": float(less.mean())}
        spans = (statistics.mean_interval(values) or (None, None) for values in (net, less))
        (low, high), (less_low, less_high) = spans
        row |= {"low": low, "high": high, "difference_low": less_low, "difference_high": less_high}
        rows.append(row | {"contracts": float(some["contracts"].to_numpy().mean())})
    kinds = dict.fromkeys(("mean", "difference", "low", "high", "difference_low", "difference_high", "contracts"), pl.Float64)
    return pl.DataFrame(rows, schema={"variant": pl.String, "sessions": pl.Int64, **kinds}).sort(
        "mean", "variant", descending=[True, False]
    )
