"""What can be wrong with a campaign; each is one sentence for the user."""


class CampaignError(ValueError):
    """A campaign that cannot be run, or results that cannot be used."""
