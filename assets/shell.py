"""What every floor's Dagster shell has in common: the user's sentence, and the contract held for the record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import dagster as dg
import pandera.polars as pa

from assets.calendar import Calendar
from assets.desk import Desk, UserError
from assets.lake import Lake, LakeError, check

OWNERS: Final = ["team:desk"]


@contextmanager
def told() -> Iterator[None]:
    """What a user can mend fails the run with its own sentence, and is not tried again."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def contract_check(
    desk: Desk,
    market: str,
    table: str,
    contract: type[pa.DataFrameModel],
    partitions: Literal["session", "traded", "period"],
    *,
    asset: str | None = None,
) -> dg.AssetChecksDefinition:
    """An asset check that holds a published partition of `table` against its contract again.

    `asset` is the last part of the key of the asset that writes the table, where it is not named after it.
    """
    calendar = Calendar(desk)
    keys = {"session": calendar.session_partitions, "traded": calendar.traded_partitions, "period": calendar.period_partitions}
    key = "period" if partitions == "period" else "session"

    @dg.asset_check(
        asset=dg.AssetKey([market, asset or table]),
        name=f"{table}_contract",
        description=f"The published partition keeps the contract {contract.__name__}.",
        partitions_def=keys[partitions],
    )
    def held(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            frame = Lake(desk.lake).read(table, market=market, **{key: context.partition_key})
            check(frame, contract, f"{table} {market} {context.partition_key}")
        except LakeError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(passed=True)

    return held
