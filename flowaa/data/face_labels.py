"""Class names of faces, in FERG and in the drawn faces."""

from flowaa.errors import UserError

CHARACTER_NAMES = ("aia", "bonnie", "jules", "malcolm", "mery", "ray")
EXPRESSION_NAMES = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
NAMES = {"character": CHARACTER_NAMES, "expression": EXPRESSION_NAMES}


def check_label(label: str) -> None:
    """Raises a `UserError` unless it is one of `NAMES`."""
    if label not in NAMES:
        raise UserError(f"data.label is {label!r}; set config.data.label to "
                        f"{' or '.join(NAMES)}")
