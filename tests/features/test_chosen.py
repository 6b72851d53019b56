"""What a desk may choose: indicators by name, parameters of its own, tables of its own; and how a mistake is told."""

from pathlib import Path

import pytest

from assets.desk import NS, Desk, DeskError, UserError, load_desk
from assets.features.build import build
from assets.features.chosen import desk_indicators, desk_series, indicator_sets, series_seen
from assets.features.indicators import indicators

DEFAULT = Path(__file__).parents[2] / "desk.toml"
OPEN = 1_790_083_800 * NS
"""The open of 2026-09-22."""
MOOD = """
[indicators.series.mood]
path = "mood.csv"
time = "when"
value = "score"
delay_seconds = 2.5
"""


def desk_with(folder: Path, lines: str) -> Desk:
    path = folder / "desk.toml"
    path.write_text(f"{DEFAULT.read_text()}\n{lines}")
    return load_desk(path)


def names(folder: Path, lines: str) -> list[str]:
    return [indicator.name for indicator in desk_indicators(desk_with(folder, lines))]


def test_a_desk_that_says_nothing_has_the_default_set():
    assert desk_indicators(load_desk(DEFAULT)) == indicators(["LDR"])


def test_a_name_alone_brings_the_catalogues_parameters_and_a_table_its_own(tmp_path):
    chosen = '[indicators]\nown = ["skew", "ofi", { name = "depth", levels = 3 }]\nleader = [{ name = "gap", tau = 0.5, slow = 60 }]'
    assert names(tmp_path, chosen) == ["skew", "ofi_1s", "ofi_10s", "depth_3", "ldr_gap_500ms_60s"]
    assert names(tmp_path, "[indicators]\nleader = []") == [indicator.name for indicator in indicators([])]


def test_a_table_beside_the_desk_file_is_an_indicator_as_of_its_delay(tmp_path, make):
    (tmp_path / "mood.csv").write_text(f"when,score\n{OPEN + NS},3.0\n{OPEN + 5 * NS},-1.0\n")
    desk = desk_with(tmp_path, "[indicators]\nown = []\nleader = []\n" + MOOD + "sign = -1\nsmallest = 0.5\nlargest = 4.0\n")
    [mood] = desk_indicators(desk)
    assert (mood.name, mood.lo, mood.hi) == ("external_mood", 0.5, 4.0)
    touch = [[(99, 1, 1)], [(101, 1, 1)]], [[(98, 1, 1)], [(101, 1, 1)]]
    books = make.books(*((ts, *touch[k % 2]) for k, ts in enumerate(range(OPEN + 2 * NS, OPEN + 10 * NS, NS))))
    table = build(
        books, make.trades(), {}, tick=make.tick, leader_ticks={}, horizon_ns=NS, chosen=[mood], series=desk_series(desk),
    )  # fmt: skip
    assert table["external_mood"].to_list() == [0, 0, -3, -3, -3, -3, 1, 1]


def test_a_correction_in_hindsight_shows_and_a_later_row_does_not(tmp_path):
    table = tmp_path / "mood.csv"
    table.write_text(f"when,score\n{OPEN + NS},3.0\n")
    desk = desk_with(tmp_path, MOOD)
    closes = [OPEN + 3 * NS, OPEN + 4 * NS]
    before, known = series_seen(desk, closes)
    table.write_text(f"when,score\n{OPEN + NS},3.0\n{OPEN + 2 * NS},4.0\n")
    assert series_seen(desk, closes) == [before, known]
    table.write_text(f"when,score\n{OPEN + NS},3.5\n")
    now = series_seen(desk, closes)
    assert now[0] == before
    assert now[1] != known
    assert series_seen(load_desk(DEFAULT), closes) == ["", ""]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('own = ["ofl"]', "indicators.own: no indicator is called 'ofl': did you mean ofi? there are cancels, count, "),
        ('leader = ["astrology"]', "indicators.leader: no indicator is called 'astrology': there are cancels"),
        ('own = [{ name = "ofi", window = 3 }]', "indicators.own: ofi takes no window: it takes tau, slow"),
        ('own = [{ name = "skew", tau = 3 }]', "indicators.own: skew takes no tau: it takes no parameter"),
        ('own = [{ name = "ofi", tau = 0 }]', "indicator ofi: tau must be from 0.01 to 3600 s, not 0"),
        ('own = [{ name = "depth", levels = 2.5 }]', "indicator depth: levels must be a whole number, not 2.5"),
        ('own = ["gap"]', "indicators.own: gap follows a leader: name it under indicators.leader"),
        ('own = ["ofi", { name = "ofi", tau = 1.0 }]', "two indicators are named ofi_1s: take one out of the desk's indicators"),
        ("own = []\nleader = []", "the desk chooses no indicator: name at least one"),
        (MOOD, "no table at "),
    ],
)
def test_a_mistake_is_told_in_one_sentence_that_names_it(tmp_path, lines, sentence):
    desk = desk_with(tmp_path, f"[indicators]\n{lines}")
    with pytest.raises(UserError) as error:
        (desk_indicators(desk), desk_series(desk))
    assert str(error.value).startswith(sentence)


def test_a_set_has_the_indicators_whose_tau_it_allows_and_those_without(tmp_path):
    lines = '[indicators]\nown = ["ofi", "trades", "skew"]\nleader = []'
    sets = {name: [own.name for own in members] for name, members in indicator_sets(desk_with(tmp_path, lines)).items()}
    assert sets == {"all": ["ofi_1s", "ofi_10s", "trades_5s", "skew"], "fast": ["ofi_1s", "skew"], "slow": ["ofi_10s", "trades_5s", "skew"]}


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (
            '"skew"',
            "indicators.sets.fast: no indicator of the desk with a tau has it from 0 to 2 s: set other bounds, or leave the set out",
        ),
        ('{ name = "ofi", tau = 1 }', "indicators.sets.fast: every indicator of the desk with a tau has it from 0 to 2 s"),
    ],
)
def test_a_set_that_chooses_nothing_is_refused(tmp_path, own, sentence):
    desk = desk_with(tmp_path, f"[indicators]\nown = [{own}]\nleader = []")
    with pytest.raises(UserError) as error:
        indicator_sets(desk)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("all = [0.0, 2.0]", "the name of a set is small letters, digits and _, and not 'all'"),
        ("'Fast one' = [0.0, 2.0]", "not 'Fast one'"),
        ("brief = [2.0, 1.0]", r"set 'brief' must be \[shortest, longest\] tau in seconds, not \[2, 1\]"),
        ("brief = [2.0]", r"indicators\.sets\.brief"),
    ],
)
def test_a_set_needs_a_name_and_two_bounds(tmp_path, line, sentence):
    path = tmp_path / "desk.toml"
    path.write_text(DEFAULT.read_text().replace("[indicators.sets]", f"[indicators.sets]\n{line}\n#"))
    with pytest.raises(DeskError, match=sentence):
        load_desk(path)


def test_a_key_that_no_table_has_is_refused_with_the_desk(tmp_path):
    with pytest.raises(DeskError, match=r"unknown key indicators\.series\.mood\.delays"):
        desk_with(tmp_path, MOOD + "delays = 3\n")
    with pytest.raises(DeskError, match=r"indicators\.series\.mood\.delay_seconds"):
        desk_with(tmp_path, MOOD.replace("delay_seconds = 2.5", ""))


def test_leaders_chosen_without_a_leader_are_refused(tmp_path):
    (tmp_path / "desk.toml").write_text(DEFAULT.read_text().replace('leaders = ["LDR"]', "") + '\n[indicators]\nleader = ["skew"]\n')
    with pytest.raises(UserError, match=r"indicators\.leader names skew, but the desk has no leaders"):
        desk_indicators(load_desk(tmp_path / "desk.toml"))
