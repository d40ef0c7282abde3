"""What can go wrong with the store as a whole; callers of its methods only see the errors that their ports name."""


class StoreRefused(Exception):
    """The store cannot be used as it is: its schema is older or newer, or another worker has it."""
