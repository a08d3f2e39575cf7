"""A bar with the steps taken, their rate and the time that is left."""

from collections.abc import Mapping

from tqdm import tqdm


class Progress(tqdm):
    """tqdm over training steps, beside the last logged loss."""

    def __init__(self, step: int, steps: int) -> None:
        """Begins at `step` of `steps`."""
        super().__init__(total=steps, initial=step, unit="step", dynamic_ncols=True, smoothing=0.05)

    def show(self, scalars: Mapping[str, float]) -> None:
        """Shows the loss of a logged row."""
        if "train/bits_per_dim" in scalars:
            self.set_postfix_str(f"{scalars['train/bits_per_dim']:.3f} bits/dim")
        elif "train/loss" in scalars:
            self.set_postfix_str(f"loss {scalars['train/loss']:.4f}")
