"""What goes wrong on this floor, in one sentence."""

from assets.desk import UserError


class FeaturesError(UserError):
    """An indicator or a parameter that does not exist, or input that features cannot be made from; named, with the remedy."""
