"""The floor's own exception."""

from assets.desk import UserError


class FillsError(UserError):
    """A session that cannot be traded in simulation; the message names the market or key and the remedy."""
