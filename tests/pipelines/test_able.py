"""A desk that cannot work is refused before its first record, by `demo` and by `doctor` in the same sentence."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app

DEFAULT = (Path(__file__).parents[2] / "desk.toml").read_text()


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


SOURCE = DEFAULT[DEFAULT.index("[source]") : DEFAULT.index("[markets.FLW]")]

UNABLE = {
    "one training session": (
        {"training_sessions = 20": "training_sessions = 1", 'retrain = "weekly"': 'retrain = "daily"'},
        "training_sessions = 1",
    ),
    "a window of holidays": (
        {
            "training_sessions = 20": "training_sessions = 2",
            'retrain = "weekly"': 'retrain = "daily"',
            "first_session = 2026-08-24": "first_session = 2025-12-24",
            "last_session = 2026-10-02": "last_session = 2026-01-09",
            'tick_size = "0.10"': 'tick_size = "0.10"\ncalendar = "XFRA"',
        },
        "would be trained on",
    ),
    "letters that Dagster refuses": (
        {'traded = "FLW"': 'traded = "Ä"', "[markets.FLW]": '[markets."Ä"]'},
        "market name 'Ä' may hold the letters A to Z",
    ),
    "markets of one name": ({"LDR": "flw"}, "markets FLW and flw differ in capitals only"),
    "a tick below the unit": ({'tick_size = "0.10"': 'tick_size = "1e-10"'}, "tick_size 1E-10 is no multiple of 1e-9"),
    "a tick that is worth nothing": ({'multiplier = "50"': 'multiplier = "1e-9"'}, "less than 1e-9, the unit of money"),
    "a first session to come": (
        {"first_session = 2026-08-24": "first_session = 2098-08-25", "last_session = 2026-10-02": ""},
        "first_session 2098-08-25 is to come",
    ),
    "a last session of no year": (
        {"last_session = 2026-10-02": "last_session = 9999-12-31"},
        "last_session 9999-12-31 is not of the years",
    ),
    "a first session of no year": (
        {"first_session = 2026-08-24": "first_session = 0001-01-01"},
        "first_session 0001-01-01 is not of the years",
    ),
    "too few sessions": ({"last_session = 2026-10-02": "last_session = 2026-09-04"}, "set last_session to 2026-09-18 or later"),
    "a calendar that does not exist": ({'tick_size = "0.10"': 'tick_size = "0.10"\ncalendar = "XNXS"'}, "unknown calendar 'XNXS'"),
    "a session before its calendar": (
        {"first_session = 2026-08-24": "first_session = 1999-01-04", 'tick_size = "0.10"': 'tick_size = "0.10"\ncalendar = "XNYS"'},
        "with which calendar 'XNYS' of FLW begins",
    ),
    "no hours": ({"hours = [13:30:00, 20:00:00]": ""}, "calendar 'weekdays' needs hours"),
    "a set that leaves nothing out": ({"[indicators.sets]": "[indicators.sets]\nall_of = [0.0, 40000.0]"}, "indicators.sets.all_of"),
    "two series of one name": (
        {
            "[source]": '[indicators.series.Mood]\npath = "a.csv"\nvalue = "v"\ndelay_seconds = 0\n'
            '[indicators.series.mood]\npath = "a.csv"\nvalue = "v"\ndelay_seconds = 0\n\n[source]'
        },
        "two indicators are named external_mood",
    ),
    "a recording of delays that is not there": (
        {"tuning_trials = 24": 'delays.order.file = "none.csv"'},
        "no recording of delays can be read",
    ),
    "a home after which nothing is found": ({'home = "var"': 'home = "what?"'}, "holds a ?"),
    "a folder that is not there": ({SOURCE: '[source]\nkind = "dbn_folder"\nfolder = "none"\n\n'}, "set source.folder"),
    "a folder without files": ({SOURCE: '[source]\nkind = "dbn_folder"\nfolder = "."\n\n'}, "put the vendor's files there"),
}


@pytest.mark.parametrize("name", UNABLE)
def test_a_desk_that_cannot_work_is_refused_before_its_first_record_and_the_doctor_says_the_same(tmp_path: Path, name: str) -> None:
    changes, sentence = UNABLE[name]
    text = DEFAULT
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "desk.toml"
    path.write_text(text)
    code, out, err = run("demo", "--desk", path)
    assert (code, out) == (1, "")
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*/lake"))
    code, out, told = run("doctor", "--no-measure", "--json", "--desk", path)
    assert code == 1
    faults = [finding["told"] for finding in json.loads(out) if finding["state"] == "fault"] if out else [told]
    assert any(sentence in fault for fault in faults)
