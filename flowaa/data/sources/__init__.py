"""The data sets: one a file, named as `config.data.name` names them."""
