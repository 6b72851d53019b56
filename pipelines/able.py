"""What a desk needs before its first record: `tickline demo` demands it before it begins, and `tickline doctor` tells it."""

import os
from pathlib import Path
from typing import Final

from assets.calendar import Calendar
from assets.desk import KEY_VARIABLE, DatabentoSource, DbnFolderSource, Desk, SimulatedSource, UserError
from assets.features.chosen import desk_series, indicator_sets
from assets.fills.delays import delay_slots
from assets.hours import OWN, calendar_of
from assets.ticks.source import dbn_files

_LEAST_TRAINING: Final = 2
"""Sessions of a training window that have trading: each is predicted by what the others teach when a policy is searched for."""


class RunError(UserError):
    """A partition that could not be made, or a desk on which none could: which one, and the reason in a sentence with its remedy."""


def check_desk(desk: Desk) -> None:
    """Hold the desk against all that its sessions, models and trades will ask of it, without a record being read.

    Raises:
        RunError: of the desk's own keys together.
        UserError: of one of them: a calendar or hours, an indicator or a table of the user's own, a recording of delays.
    """
    if "?" in str(desk.home):
        raise RunError(f"home {desk.home} holds a ?, after which the databases there would not be found: name another folder")
    calendar = Calendar(desk)
    for name in desk.all_markets:
        known = desk.markets[name].calendar
        first = None if known in OWN else calendar_of("CMES" if known == "CBOT_GRAINS" else known).first_session.date()
        if first is not None and desk.first_session < first:
            raise RunError(f"first_session {desk.first_session} is before {first}, with which calendar {known!r} of {name} begins")
    indicator_sets(desk)
    desk_series(desk)
    delay_slots(desk.trading, 0)
    _check_training(desk, calendar)


def _check_training(desk: Desk, calendar: Calendar) -> None:
    sessions, needed = calendar.sessions(), desk.training_sessions
    if not sessions:
        raise RunError(f"first_session {desk.first_session} is to come: no session is over yet; set it to a day in the past")
    if needed < _LEAST_TRAINING:
        raise RunError(f"training_sessions = {needed}: each is predicted by what the others teach; set it to {_LEAST_TRAINING} or more")
    periods = calendar.periods()
    if not periods or calendar.training_sessions(periods[0])[-1] > sessions[-1]:
        last = calendar.training_sessions(calendar.first_period())[-1]
        raise RunError(
            f"{desk.name} has {len(sessions)} sessions and a model needs {needed} before the first that is traded: "
            f"set last_session to {last} or later, or training_sessions to fewer"
        )
    windows = {day: [calendar.window(market, day) for market in desk.all_markets] for day in sessions}
    for period in periods:
        open_days = [day for day in calendar.training_sessions(period) if windows.get(day, [None])[0] is not None]
        if len(open_days) < _LEAST_TRAINING:
            raise RunError(
                f"the model of {period} would be trained on {len(open_days)} session that is no holiday and needs {_LEAST_TRAINING}: "
                "set training_sessions to more"
            )


def source_told(desk: Desk) -> str:
    """What the desk's source is.

    Raises:
        RunError: nothing can be read from it.
    """
    match desk.source:
        case SimulatedSource():
            return f"simulated exchange, seed {desk.source.seed}, {desk.source.events_per_session:,} events a market and session"
        case DbnFolderSource():
            folder = desk.source.folder
            if not folder.is_dir():
                raise RunError(f"no folder at {folder}: set source.folder in the desk file to the folder that holds the DBN files")
            files, faults = dbn_files(folder)
            if not files:
                raise RunError(f"no .dbn or .dbn.zst file in {folder}: put the vendor's files there")
            passed = f"; passed over: {'; '.join(faults.values())}" if faults else ""
            return f"{len(files)} DBN files in {folder}, {sum(state.st_size for state in files.values()) / 1e9:.2f} GB{passed}"
        case DatabentoSource():
            if not os.environ.get(KEY_VARIABLE):
                raise RunError(f"the desk asks Databento, but {KEY_VARIABLE} is not set: export it, or change [source]")
            return f"Databento {desk.source.dataset}, at most {desk.source.budget_per_session} USD a market and session; a key is set"


def place_of(desk: Desk) -> Path:
    """The folder on whose disk the desk's home is or will be.

    Raises:
        RunError: it cannot be written to.
    """
    place = desk.home.resolve()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK) or not place.is_dir():
        raise RunError(f"{place} cannot be written to: change home in the desk file")
    return place
