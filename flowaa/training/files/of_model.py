"""Parameters as a checkpoint has them, put into the tree of the model that its config describes."""

import jax

from flowaa.errors import UserError
from flowaa.training.state import Params


def of_model(params: Params, like: Params, where: str) -> Params:
    """The parameters in the tree of `like`.

    Args:
        params: as they were read.
        like: arrays or shapes of the model's.
        where: the checkpoint, for the message.

    Raises:
        UserError: names or shapes are those of another model.
    """
    shapes, expected = _shapes(params), _shapes(like)
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise UserError(
                f"{where} is of another model than its config describes: params{name} is "
                f"{shapes.get(name, 'absent')}, not {expected.get(name, 'absent')}; train anew in "
                "another folder")
    leaves = {jax.tree_util.keystr(path): leaf
              for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return jax.tree_util.tree_map_with_path(
        lambda path, _: leaves[jax.tree_util.keystr(path)], like)


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    """Shapes by path, such as ['bijector']['blocks_0']['scale']."""
    return {jax.tree_util.keystr(path): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
