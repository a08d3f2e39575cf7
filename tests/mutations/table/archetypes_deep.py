"""Breakages of deep archetypes: layers, losses, distance, start and training."""

from tests.mutations.mutation import Mutation

_TANGENTS, _HEADS = "flowaa/archetypes/deep/tangents.py", "flowaa/archetypes/deep/heads.py"
_LOSSES, _WARM_START = "flowaa/archetypes/deep/losses.py", "flowaa/archetypes/deep/warm_start.py"
_OBJECTIVE = "flowaa/training/archetypes/objective.py"
_OF_TANGENTS, _OF_HEADS = "tests/archetypes/test_tangents.py", "tests/archetypes/test_heads.py"
_OF_OBJECTIVE = "tests/training/test_archetype_objective.py"
_OF_RUNS = "tests/training/test_archetypes.py"
_SIMPLEX_START = "flowaa/training/archetypes/simplex_start.py"
_OF_SIMPLEX = "tests/training/test_simplex_flow.py"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation("the nearest archetype is the furthest", "flowaa/outliers/draws.py",
             "weights.argmax(-1)", "weights.argmin(-1)",
             (f"{_OF_RUNS}::test_outliers_lie_beyond_the_simplex",)),
    Mutation("the reconstruction ignores the distance", _OBJECTIVE,
             "if model.distance is None", "if True",
             (f"{_OF_OBJECTIVE}::test_reconstructions_are_compared_by_the_distance",)),
    Mutation("tangents of the reconstruction, not of the target", _TANGENTS,
             "self.blur(u - target), self.blur(target)", "self.blur(u - target), self.blur(u)",
             (f"{_OF_TANGENTS}::test_the_changes_are_those_of_the_target",)),
    Mutation("tangents of the picture, not of its centre", _TANGENTS,
             "self.blur(u - centre), self.blur(centre)", "self.blur(u - centre), self.blur(u)",
             (f"{_OF_TANGENTS}::test_differences_from_one_centre_stay_mixtures",)),
    Mutation("the warm start does not subtract class means", _WARM_START,
             "t - _class_means(t, rows.label)", "t - _class_means(t, None)",
             (f"{_OF_RUNS}::test_warm_start_looks_for_archetypes_within_classes",)),
    Mutation("pictures are centred on the first class", "flowaa/training/archetypes/start.py",
             "centres[label[batch]]", "centres[0 * label[batch]]",
             ("tests/training/test_archetype_start.py::"
              "test_pictures_are_seen_less_their_own_class",)),
    Mutation("changes have no bound", _TANGENTS,
             "        a *= radius / jnp.maximum(safe_norm(a), radius)[:, None]\n", "",
             (f"{_OF_TANGENTS}::test_large_changes_of_brightness_are_differences",)),
    Mutation("changes have hardly a prior", _TANGENTS,
             "gram + _RESIDUAL**2", "gram + 1e-6 * _RESIDUAL**2",
             (f"{_OF_TANGENTS}::test_the_changes_subtracted_are_those_of_ridge_regression",)),
    Mutation("degrees taken for radians", _TANGENTS,
             "np.deg2rad(self.sizes.rotation_degrees)", "self.sizes.rotation_degrees",
             (f"{_OF_TANGENTS}::test_the_units_are_pixels_degrees_and_per_cent",)),
    Mutation("per cent taken for shares", _TANGENTS,
             "self.sizes.scale_percent / 100", "self.sizes.scale_percent",
             (f"{_OF_TANGENTS}::test_the_units_are_pixels_degrees_and_per_cent",)),
    Mutation("brightness about 0, not about black", _TANGENTS,
             "u - jnp.asarray(self.black, u.dtype)", "u",
             (f"{_OF_TANGENTS}::test_a_small_change_makes_no_difference_if_its_kind_is_named",)),
    Mutation("a picture turns the wrong way to its size", _TANGENTS,
             "columns * down - rows * right", "columns * down + rows * right",
             (f"{_OF_TANGENTS}::test_the_units_are_pixels_degrees_and_per_cent",)),
    Mutation("the blur darkens the border", _TANGENTS,
             "weights / weights.sum(1, keepdims=True)", "weights / weights.sum(1).max()",
             (f"{_OF_TANGENTS}::test_blur_is_a_gaussian",)),
    Mutation("the selection leaves the scores' loss out", _OBJECTIVE,
             '"loss": weights.total(terms, n_dims)}',
             '"loss": weights.total({**terms, "side": jnp.zeros(len(batch.x))}, n_dims)}',
             (f"{_OF_OBJECTIVE}::test_what_selects_is_what_is_trained",)),
    Mutation("the best step is that of the least reconstruction", "flowaa/config/problem.py",
             'validation_loss="loss"', 'validation_loss="nll"',
             (f"{_OF_RUNS}::test_the_scores_loss_selects_the_step",)),
    Mutation("log-likelihood is weighted in nats, not nats per dimension", _OBJECTIVE,
             'terms["nll"]) / n_dims', 'terms["nll"])',
             (f"{_OF_RUNS}::test_evaluation_reports_the_whole_weighted_loss",)),
    Mutation("pixel noise and latent from one key", _OBJECTIVE,
             "batch.y, drawing_key, example_ids", "batch.y, noise_key, example_ids",
             (f"{_OF_OBJECTIVE}::"
              "test_pixel_noise_and_latent_are_drawn_from_keys_of_their_own",)),
    Mutation("filling rows make archetypes", _OBJECTIVE,
             "selection = jnp.where(mask[:, None], selection, -jnp.inf)", "pass",
             (f"{_OF_OBJECTIVE}::test_filling_rows_are_in_no_loss_of_the_batch",)),
    Mutation("filling rows move the prototype", _OBJECTIVE,
             "group if mask is None else jnp.where(mask[:, None], group, 0.0)", "group",
             (f"{_OF_OBJECTIVE}::test_filling_rows_are_in_no_loss_of_the_batch",)),
    Mutation("B is a softmax over one device's examples", _LOSSES,
             "mixed, mass = lax.psum((mixed, mass), axis_name)", "pass",
             ("tests/training/test_archetype_devices.py::test_eight_devices",)),
    Mutation("the archetype loss has a NaN gradient at zero", _LOSSES,
             "jnp.sqrt(jnp.where(is_zero, 1.0, squared))", "jnp.sqrt(squared)",
             (f"{_OF_HEADS}::"
              "test_archetype_loss_is_zero_and_its_gradient_finite_where_examples_are_archetypes",)),
    Mutation("groups without examples count", _LOSSES,
             "jnp.where(count > 0, distance, 0.0).sum() / jnp.maximum((count > 0).sum(), 1)",
             "distance.mean()",
             (f"{_OF_HEADS}::test_prototype_loss_pulls_each_centre_to_its_classs_mean",)),
    Mutation("the volume is not per edge", _LOSSES, ".mean() / n_edges", ".mean()",
             (f"{_OF_HEADS}::test_volume_loss_is_the_log_of_the_volume_per_edge",)),
    Mutation("the prototype's weight goes to each archetype in full", _HEADS,
             "shares[:, -1:] / self.n_archetypes", "shares[:, -1:]",
             (f"{_OF_HEADS}::test_prototypes_weight_goes_to_all_archetypes_evenly",)),
    Mutation("all classes share a bias", _HEADS, "+ of_class @ bias", "+ bias[0]",
             (f"{_OF_HEADS}::test_one_set_a_class_is_that_many_heads",)),
    Mutation("noise changes the sum of weights", _HEADS,
             "scale * (noise - noise.mean(-1, keepdims=True))", "scale * noise",
             (f"{_OF_HEADS}::test_noise_leaves_the_sum_of_weights",)),
    Mutation("a pretrained flow is compared by its shapes alone", "flowaa/run/pretrained.py",
             "    if changes:\n", "    if False:\n",
             (f"{_OF_RUNS}::test_a_pretrained_flow_of_another_density_is_refused",)),
    Mutation("a flow may be frozen as it was initialised",
             "flowaa/config/archetypes.py",
             "if self.freeze_flow and not self.pretrained:", "if False:",
             (f"{_OF_RUNS}::"
              "test_options_that_do_not_fit_are_told_before_anything_is_written",)),
    Mutation("the start's figures are those of random layers", "flowaa/run/archetype_figures.py",
             "            params = last.prepare(params)\n",
             "            started, params = params, last.prepare(params)\n"
             "            run = run_of(config, dataset.spec, started, last.first_step)\n"
             "            np.savez(file, allow_pickle=False, archetypes=decoded_archetypes(run),\n"
             "                     **archetype_figures(run, dataset))\n"
             "            return params\n",
             (f"{_OF_RUNS}::"
              "test_what_training_started_from_is_reported_beside_the_result",)),
    Mutation("corners of the triangle are drawn in another order", "flowaa/figures/simplex.py",
             "np.pi / 2 - 2 * np.pi", "np.pi / 2 + 2 * np.pi",
             ("tests/test_analyse.py::test_points_stand_at_their_mixtures_of_the_corners",)),
    Mutation("a readout starts as the last components", _SIMPLEX_START,
             "= variances[::-1], directions[:, ::-1]", "= variances, directions",
             (f"{_OF_SIMPLEX}::"
              "test_a_run_starts_as_whitened_components_and_their_archetypes",)),
    Mutation("the first simplex is the classical one", _SIMPLEX_START,
             "_SHRINKINGS = (1.0, 0.9, 0.8, 0.7, 0.6)", "_SHRINKINGS = (1.0,)",
             (f"{_OF_SIMPLEX}::test_noise_moves_the_first_vertices_inwards",)),
    Mutation("other weights forget the rest of the row", "flowaa/training/archetypes/simplex.py",
             "law.with_weights(z, weights)", "law.latent(weights)",
             (f"{_OF_SIMPLEX}::test_other_weights_leave_the_rest_of_a_row_its_own",)),
    Mutation("a simplex as the base takes side information and drops it",
             "flowaa/config/archetypes.py", '"side": "none", "blur_px"', '"blur_px"',
             (f"{_OF_SIMPLEX}::test_what_is_refused",)),
)
