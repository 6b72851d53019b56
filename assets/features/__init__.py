"""Second floor: signed indicators and the label."""
