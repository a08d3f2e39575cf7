"""The one kind of error that a user of the commands can mend."""


class UserError(ValueError):
    """What is wrong and what to do about it, in one line.

    The commands in `experiments/` print it without a traceback and end with exit status 2.
    It is a `ValueError`, so that code that calls the library catches it as usual.
    """
