"""What is run, and in which order, follows from the desk alone."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.desk import load_desk
from assets.lineage import RECIPES, WRITER
from assets.provenance import Provenance
from pipelines.layers import LAYERS
from pipelines.run import RunError, Task, plan


def test_every_task_comes_after_those_that_it_needs(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    tasks = plan(load_desk(make_desk(tmp_path)))
    for place, task in enumerate(tasks):
        assert set(task.needs) <= set(tasks[:place])


def test_a_traded_session_needs_its_records_and_the_model_of_its_week(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    [friday] = [task for task in plan(load_desk(make_desk(tmp_path))) if (task.job, task.partition) == ("trade_session", "2026-09-18")]
    assert {(need.job, need.partition) for need in friday.needs} == {("retrain", "2026-09-14"), ("record_session", "2026-09-18")}


def test_a_model_needs_the_sessions_of_its_window_and_no_other(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    [retrain] = [task for task in plan(load_desk(make_desk(tmp_path))) if (task.job, task.partition) == ("retrain", "2026-09-14")]
    monday = dt.date(2026, 9, 7)
    assert [need.partition for need in retrain.needs] == [(monday + dt.timedelta(days=day)).isoformat() for day in range(5)]
    assert all(isinstance(need, Task) and need.job == "record_session" for need in retrain.needs)


def test_a_desk_too_short_for_any_model_is_told_which_key_to_change(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    desk = load_desk(make_desk(tmp_path, last_session="2026-09-09"))
    with pytest.raises(RunError, match=r"has 3 sessions and a model needs 5 .*: set last_session to 2026-09-11 or later"):
        plan(desk)


def test_the_plan_makes_every_partition_that_the_desk_asks_for_once(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    desk = load_desk(make_desk(tmp_path))
    known = Provenance(desk)
    made = [part for task in plan(desk) for part in task.parts.values()]
    assert len(made) == len({*made})
    assert {*made} == {part for asset in RECIPES for part in known.parts(asset)}


def test_a_task_needs_those_that_make_what_its_partitions_are_made_from(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    desk = load_desk(make_desk(tmp_path))
    known, tasks = Provenance(desk), plan(desk)
    maker = {part: task for task in tasks for part in task.parts.values()}

    def before(task: Task) -> set[Task]:
        return {task, *(earlier for need in task.needs for earlier in before(need))}

    for task in tasks:
        for part in task.parts.values():
            assert {maker[given] for given in known.inputs(part)} <= before(task), part


def test_the_warehouse_knows_each_table_as_its_recipe_does() -> None:
    assert {*LAYERS} == {*WRITER}
    for table, layer in LAYERS.items():
        recipe = WRITER[table]
        assert (layer.asset, layer.key, layer.every_market) == (recipe.asset, recipe.key, recipe.every_market), table
