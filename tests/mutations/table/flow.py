"""Breakages of `flow` and `bijectors`."""

from tests.mutations.mutation import Mutation

_ARCHITECTURE = "tests/flow/test_architecture.py"
_CONDITIONS = "tests/flow/test_conditions.py"
_DENSITY = "tests/flow/test_flow_density.py"
_LIKELIHOOD = "tests/flow/test_likelihood.py"
_MEMORY = "tests/test_memory_modes.py"
_MIXING = "tests/bijectors/test_mixing.py"
_SUBNETS = "tests/flow/test_subnets.py"


def _law(case: str, law: str) -> tuple[str]:
    """A law on one case of the bijectors' table, in float64."""
    return (f"tests/bijectors/test_laws.py::test_bijector_obeys[float64-{case}-{law}]",)


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("dropout is off", "flowaa/flow/subnets.py",
             'if rate == 0.0 or not subnet.has_rng("dropout"):', "if True:",
             (f"{_SUBNETS}::test_dropout_leaves_out_its_share_of_hidden_features"
              "_and_keeps_the_mean",)),
    Mutation("all blocks drop the same features", "flowaa/bijectors/chain.py",
             "return None if key is None else jax.random.fold_in(key, index)", "return key",
             (f"{_SUBNETS}::test_blocks_drop_features_of_their_own",)),
    Mutation("subnets of bfloat16 leave their parameters in it", "flowaa/flow/subnets.py",
             "(hidden).astype(x.dtype)", "(hidden)",
             (f"{_SUBNETS}::test_bfloat16_subnets_leave_couplings_in_float32",)),
    Mutation("a context is not standardised", "flowaa/flow/flow.py",
             "(context - jnp.asarray(self.context_mean)) / jnp.asarray(self.context_std)",
             "context",
             (f"{_SUBNETS}::test_a_flow_sees_its_context_in_deviations_beside_the_label",)),
    Mutation("a context takes the place of the label", "flowaa/flow/flow.py",
             "jnp.concatenate(parts, axis=1) if parts else None",
             "jnp.concatenate([0 * parts[0], *parts[1:]], axis=1) if parts else None",
             (f"{_SUBNETS}::test_a_flow_sees_its_context_in_deviations_beside_the_label",)),
    Mutation("ActNorm is never initialised", "flowaa/bijectors/mixing.py",
             "-x.mean(axes).astype(jnp.float32)", "0 * x.mean(axes)",
             (f"{_MIXING}::test_actnorm_starts_with_zero_mean_and_unit_variance",)),
    Mutation("ActNorm blows up a nearly constant channel", "flowaa/bijectors/mixing.py",
             "minimum_std: float = 1e-2", "minimum_std: float = 1e-8",
             (f"{_MIXING}::test_actnorm_does_not_blow_up_a_nearly_constant_channel",)),
    Mutation("a permutation may be the identity", "flowaa/bijectors/mixing.py",
             "while not n and n_channels > 1", "while False",
             (f"{_MIXING}::test_permutation_is_never_the_identity_and_exchanges_what_it_must",)),
    Mutation("decode does not undo the permutation", "flowaa/bijectors/mixing.py",
             "np.argsort(self._order(z.shape[-1]))", "self._order(z.shape[-1])",
             _law("permutation-exchanged", "round_trip")),
    Mutation("one-sided flows may leave a feature as it is", "flowaa/flow/architecture.py",
             "n_exchanged = shape[-1] // 2 if", "n_exchanged = 0 if",
             (f"{_ARCHITECTURE}::test_one_sided_permuted_flows_change_every_feature",)),
    Mutation("one-sided checkerboards change the same pixels", "flowaa/flow/architecture.py",
             'in_turn = self.mixing == "none" or is_checkerboard',
             'in_turn = self.mixing == "none"',
             (f"{_ARCHITECTURE}::test_one_sided_checkerboards_change_every_pixel",)),
    Mutation("scan does nothing for cycled kernels", "flowaa/flow/architecture.py",
             "period = math.lcm(len(subnets), 1 if self.two_sided else 2) if self.scan else",
             "period = 1 if self.scan else",
             (f"{_ARCHITECTURE}::test_cycled_kernels_are_scanned_over_their_period",)),
    Mutation("the bound of K samples is their mean", "flowaa/flow/likelihood.py",
             "jax.nn.logsumexp(log_probs, axis=0) - np.log(log_probs.shape[0])",
             "log_probs.mean(axis=0)",
             (f"{_LIKELIHOOD}::test_bounds_rise_with_the_number_of_samples_to_the_probability",)),
    Mutation("standardising multiplies", "flowaa/flow/likelihood.py",
             "(x - jnp.asarray(mean, x.dtype)) / ", "(x - jnp.asarray(mean, x.dtype)) * ",
             (f"{_LIKELIHOOD}::test_continuous_data_is_standardised_with_its_volume",)),
    Mutation("integer rows are standardised as integers", "flowaa/flow/likelihood.py",
             "_standardise(x.astype(jnp.float32), self.mean", "_standardise(x, self.mean",
             (f"{_LIKELIHOOD}::test_rows_of_any_type_have_the_density_of_their_numbers",)),
    Mutation("one noise for all examples", "flowaa/flow/likelihood.py",
             "lambda example_id: jax.random.fold_in(key, example_id)",
             "lambda example_id: jax.random.fold_in(key, 0 * example_id)",
             (f"{_LIKELIHOOD}::test_noise_is_an_examples_own",)),
    Mutation("noise reaches the edges of a level", "flowaa/flow/likelihood.py",
             "_EDGE = 1e-4", "_EDGE = 0.0",
             (f"{_LIKELIHOOD}::test_levels_come_back_whatever_the_noise",)),
    Mutation("bits are nats", "flowaa/flow/likelihood.py",
             "-log_prob / (n_dims * np.log(2.0))", "-log_prob / n_dims",
             (f"{_LIKELIHOOD}::test_bits_per_dim_of_a_uniform_over_levels",)),
    Mutation("the marginal of a class mixture is its conditional", "flowaa/flow/density.py",
             "flow.latent_log_prob(z) + log_det", "given_label",
             (f"{_CONDITIONS}::test_a_class_mixture_reports_the_marginal_and_the_conditional",)),
    Mutation("temperature scales no class", "flowaa/flow/base_distribution.py",
             "scales = temperature * jnp.exp", "scales = jnp.exp",
             (f"{_DENSITY}::test_draws_of_a_class_mixture_scale_with_temperature",)),
    Mutation("log-det of a split-off forgets the noise's", "flowaa/bijectors/split_off.py",
             "return _concatenate(z, noise), log_det + noise_log_det",
             "return _concatenate(z, noise), log_det",
             _law("split_off-plain-vector-none", "log_det")),
    Mutation("a reversible coupling forgets a side's condition", "flowaa/bijectors/coupling.py",
             "d_cond = add_cotangents(d_cond, d_side_cond)", "d_cond = d_side_cond",
             _law("affine-halves-vector-label-two_sided", "memory_modes")),
    Mutation("reversible dropout draws other masks", "flowaa/bijectors/chain.py",
             "dropout_key = bound(self, params, dropout_key=dropout_key).dropout_key()",
             "dropout_key = jax.random.fold_in(dropout_key, 1)",
             _law("nested_chain-none", "memory_modes")),
    Mutation("the best block is blamed", "flowaa/flow/reversibility.py",
             "jnp.argmax(measured.block_errors)", "jnp.argmin(measured.block_errors)",
             (f"{_MEMORY}::test_trusted_where_well_conditioned_and_the_bad_block_is_named",)),
    Mutation("one example more than fits", "flowaa/flow/cost.py",
             "max(0, math.floor(room", "max(0, math.ceil(room",
             (f"{_MEMORY}::test_memory_is_a_line_in_the_batch",)),
    Mutation("the contract ignores NaN", "flowaa/bijectors/contract.py",
             "_require(bool(error <= limit)", "_require(not error > limit",
             ("tests/bijectors/test_checks_can_fail.py::test_a_nan_is_no_round_trip",)),
)
