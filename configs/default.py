"""Every key a config can have, with its unit and meaning; other configs override what differs.

A config file defines `get_config(variant)`: `--config=configs/x.py`, `--config=configs/x.py:smoke`.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    """The default experiment: a small affine flow on the 2-D Gaussian mixture."""
    config = ConfigDict()
    config.seed = 0  # governs everything random: data made or split, initialisation, batches, noise

    config.data = data = ConfigDict()
    # mixture | moons | digits | keller | faces | ferg | arrays | image_folder | tfds:NAME
    data.name = "mixture"
    data.path = ""  # arrays: the .npz or .npy file
    # image_folder: the folder; ferg: FERG_DB_256 or the folder that holds it; faces and tfds: where
    # prepared data lies ("" = the default of TensorFlow Datasets, ~/tensorflow_datasets)
    data.dir = ""
    data.prepared_dir = ""  # ferg: where prepared data lies ("" = as above)
    data.n_rows = 10_000  # data made here: rows, all splits together
    data.image_size = 32  # faces, ferg and image_folder: side in pixels
    data.label = "character"  # faces and ferg: character | expression
    data.nuisance = 1.0  # faces: scales what tilt, shift, size and brightness vary; 0 = nothing
    data.nonlinear = True  # keller: bends the data out of the plane of its archetypes
    data.concentration = (1.0, 1.0, 1.0)  # keller: of the weights' Dirichlet law; 1 is even
    data.validation_fraction = 0.1  # of the training rows, where data has no such split
    data.test_fraction = 0.2  # of all rows, where the data has no test split
    data.device_bytes = 2 * 2**30  # data up to this size lives on the device; more streams

    config.flow = flow = ConfigDict()
    # stages: as the keys below say | auto: stages, law, mixing, splines, dropout and logit_alpha
    # are chosen by shape, kind and number of the rows; a run's config.json has what was chosen.
    flow.architecture = "stages"
    # One entry per stage: a reshaping, then blocks of (actnorm, coupling, mixing).
    flow.reshape = ("none",)  # none | squeeze (i-RevNet pixel shuffle) | haar | flatten
    flow.n_blocks = (8,)
    flow.width = (64,)  # hidden features (or channels) of each subnet
    flow.depth = (2,)  # hidden layers of each subnet
    # Of image stages: cycled through from block to block, each one size or one a layer, (3, 1, 3).
    flow.kernel_sizes = ((3,),)
    flow.split_off = (0.0,)  # share of the channels split off to noise after the stage
    # additive | affine | volume_preserving | spline; rows of one feature always have splines
    flow.law = "affine"
    flow.two_sided = True  # both halves change in one block (Glow-style), else one
    flow.split = "halves"  # halves | checkerboard (image stages)
    flow.mixing = "permutation"  # none | permutation | orthogonal | invertible_linear
    flow.actnorm = False
    flow.clamp = 1.5  # alpha of the soft clamp of log-scales, (2 alpha / pi) atan(s / alpha)
    flow.spline_bins = 8
    flow.spline_bound = 4.0  # the spline is the identity outside [-bound, bound]
    flow.split_off_conditional = True  # noise split off is normalised given what stays
    flow.memory = "stored"  # what backpropagation keeps: stored | remat | reversible
    # A compiled loop over periods of equal blocks: for accelerators, slow on a CPU.
    flow.scan = False
    flow.dropout = 0.0  # of the subnets' hidden features, in training only
    flow.subnet = "convolution"  # convolution | attention (between an image stage's pixels)
    flow.n_heads = 4  # of attention; they divide the width
    # float32 | bfloat16: the subnets' arithmetic, for accelerators. All else, log-dets included, is
    # float32; what is decoded can be off by a bfloat16 rounding of a subnet's input, which is rare.
    flow.subnet_dtype = "float32"
    flow.conditional = False  # condition every subnet on the label and the context that data has
    # Of rows of numbers: each feature's own monotone spline (flow.spline_bins) before the blocks;
    # with flow.n_blocks=(0,) and a readout the flow is a post-nonlinear mixture.
    flow.curves = False
    # A learned matrix after the blocks; it starts as the one to whitened principal components
    # (with the heads of config.archetypes, as the identity).
    flow.readout = False
    # normal | class_mixture (learned means and scales, one Gaussian a class) | simplex (noisy
    # mixtures of archetypes.n_archetypes learned vertices, in as many dimensions as they span, and
    # normal noise in the others: the archetypes' weights come by likelihood alone, without the
    # heads and losses of config.archetypes)
    flow.base = "normal"
    # Of rows of numbers: gaussian (lighter than any power law's) | transform (each feature has a
    # generalised Pareto law's tails, whose indices are learned and start from those of the training
    # rows) | student_t (the radius of the base distribution has such a tail: for features that are
    # large together, as the multivariate Student's) | auto (transform of the features whose tails
    # are heavy, none where none is; a run's config.json has what was chosen). Latents stay normal.
    flow.tails = "gaussian"
    flow.tail_features = ()  # of transform: the columns, from 0, that it changes; () = all
    # "module:function" of one's own: from the shape of one example to a bijector, which then takes
    # the place of the stages above (see flowaa.bijectors).
    flow.bijector = ""

    config.likelihood = likelihood = ConfigDict()
    likelihood.logit_alpha = 0.0  # discrete data: > 0 maps x to logit(alpha + (1 - 2 alpha) x)
    likelihood.evaluation_samples = 1  # K > 1: also report the K-sample importance bound

    config.archetypes = archetypes = ConfigDict()
    archetypes.n_archetypes = 0  # K, vertices of the simplex in the latent space; 0 = a flow alone
    # What they are sought in: flow, or variational, a baseline: a dense encoder and decoder with a
    # Gaussian posterior (Keller et al. 2020), of which config.flow says only whether it has labels.
    archetypes.bottleneck = "flow"
    archetypes.variational_width = 256  # hidden features of that encoder and decoder
    archetypes.vertices = "fixed"  # fixed | learned, e.g. for a flow that was trained before
    archetypes.sets = "shared"  # shared | per_class: archetypes of all classes, or of each its own
    # Of flow.base=simplex: least number of points that the integral over the simplex is a sum of;
    # six archetypes or more want thousands.
    archetypes.simplex_points = 512
    archetypes.prototype = False  # a further point in the centre that examples are mixtures of
    archetypes.overshoot = 0.0  # how far below 0 weights may go; above 1, K - 1 times as far
    archetypes.weight_norm = False  # the heads' lengths and directions are learned apart
    archetypes.weight_noise = 0.0  # standard deviation of noise on the weights, in training
    archetypes.side = "none"  # what weights are to predict: none | label | scores (data with them)
    # What the heads start from: random, or linear, the classical archetypes of the latents, or
    # side, where weights start as the scores (K of them, which sum to one).
    archetypes.start = "linear"
    archetypes.start_rows = 4_000  # training rows that the start, and a readout's, is computed from
    # Of pictures: the distance that reconstructions are measured by and the linear start works in.
    archetypes.blur_px = 0.0  # standard deviation of a Gaussian blur that comes first
    archetypes.invariant_to = ()  # shift | rotation | scale | brightness: small ones do not count
    # How small: standard deviations of a prior, whose 95 % region does not count.
    archetypes.shift_px = 1.0
    archetypes.rotation_degrees = 3.0
    archetypes.scale_percent = 3.0
    archetypes.brightness_percent = 5.0
    archetypes.pretrained = ""  # a run of this flow alone whose parameters the flow starts from
    archetypes.freeze_flow = False  # only the heads are trained; needs a pretrained flow
    archetypes.warm_up_steps = 0  # of the flow alone before archetypes join
    # Weights of the losses; 0 leaves one out.
    archetypes.nll_weight = 0.1  # nats per dimension
    archetypes.archetype_weight = 10.0  # distance of BAZ from Z; the vertices' norm is 1
    archetypes.reconstruction_weight = 80.0  # mean square, in units of the data's variance
    archetypes.latent_reconstruction_weight = 0.0  # mean square, of the latent instead
    archetypes.side_weight = 1.0  # cross-entropy in nats, or mean square of scores
    archetypes.prototype_weight = 0.0  # mean square distance of the centre from the mean latent
    archetypes.volume_weight = 0.0  # log of the simplex's volume in the latent, per edge

    config.optimizer = optimizer = ConfigDict()
    optimizer.name = "adamw"  # adam | adamw
    optimizer.learning_rate = 1e-3  # the peak, after warm-up
    optimizer.schedule = "cosine"  # constant | cosine, over training.steps
    optimizer.warmup_steps = 100
    optimizer.final_learning_rate_fraction = 0.0
    optimizer.weight_decay = 0.0
    optimizer.clip_norm = 100.0  # of the global gradient; 0 = off
    # Of the global gradient, before it is clipped: such a step is skipped and counted, as are those
    # whose gradient is not finite; 0 = those alone.
    optimizer.skip_norm = 1e8
    optimizer.ema_decay = 0.0  # of the averaged parameters used in evaluation; 0 = off

    config.training = training = ConfigDict()
    training.batch_size = 256  # over all devices
    training.steps = 2_000
    # Steps compiled into one device call. More than one pays for flows without convolutions, which
    # are bound by dispatch; XLA:CPU runs convolutions ten times slower inside such a loop.
    training.steps_per_call = 1
    training.log_every_steps = 100
    training.evaluate_every_steps = 500  # on the validation split; also saves a checkpoint
    training.patience = 0  # evaluations without a better one after which training ends; 0 = off
    # After which training ends, compilation not counted; 0 = off. A run that time ends is not the
    # same on another machine.
    training.max_minutes = 0.0
    training.max_skipped_steps = 25  # in a row, which end training as diverged
    training.keep_checkpoints = 2  # the newest ones; the best on validation is always kept
    # With flow.memory=reversible: steps from one comparison with stored gradients to the next (0 =
    # never), and the cosine below which training goes on with stored activations.
    training.check_reversible_steps = 0
    training.min_reversible_cosine = 0.999
    training.n_devices = 0  # of all processes together; 0 = all
    training.compilation_cache = "~/.cache/flowaa"  # "" = off

    # Of `python -m experiments.archetypes`, which trains nothing.
    config.archetypal_analysis = analysis = ConfigDict()
    analysis.n_archetypes = 0  # 0 = chosen among 1 … choose_up_to, by what they explain
    analysis.choose_up_to = 8  # numbers whose fit and stability are drawn; 0 = none
    analysis.n_bootstraps = 5  # samples of the rows that stability is judged by
    analysis.max_rows = 4_000  # training rows used, evenly spread
    analysis.init = "coreset"  # coreset | aa++ | furthest_first | furthest_sum | uniform
    analysis.n_init = 10  # starts, of which the best is kept
    analysis.tol = 1e-6  # relative decrease of the loss that ends the fit
    analysis.max_iter = 500  # rounds of the best start
    analysis.loss = "squared"  # squared | huber | bisquare
    analysis.trim = 0.0  # share of the rows, the furthest out, that make no archetype
    analysis.delta = 0.0  # how far archetypes may lie beyond the rows' hull, as a share of it

    # What `experiments.detect` trains on a finished run; `--detector.KEY=VALUE` overrides.
    config.detector = detector = ConfigDict()
    detector.kind = "discriminator"  # discriminator: real or not | classifier: classes, with doubt
    detector.network = "dense"  # dense | conv (images)
    detector.width = 128  # features of hidden layers; of conv, channels of the first
    detector.depth = 3  # hidden layers; of conv, halvings of the resolution
    detector.spectral_norm = False  # divides weights by their largest singular value
    detector.rejects = False  # classifier: outliers are a class of their own
    detector.confidence_weight = 1.0  # classifier: of outliers in the loss
    # shell, gumbel, simplex (drawn by the flow; the last in runs with archetypes), box, noise,
    # permutation, mixup (of the data, without the flow)
    detector.sources = ("shell", "box", "noise", "permutation")
    detector.shares = (1.0, 1.0, 1.0, 1.0)  # of each source in the draws, in any unit
    detector.extremeness = (1e2, 1e8)  # return periods of the flow's outliers, nearest and furthest
    detector.box_margin = 0.5  # of the data's range on each side
    detector.noise = 1.0  # standard deviation, in units of each feature's
    # Draws of shell and gumbel count only where their latent norm exceeds that of all but this
    # share of the validation rows; 0 counts all.
    detector.reject_quantile = 0.01
    # drawn | uniform: a shell's outliers are weighted by 1/density, and the score orders points as
    # their density does; for rows of a few features and sources=("shell",)
    detector.reference = "drawn"
    # none | generator (a network that learns to make outliers look real, as in a GAN) | flow (the
    # flow itself goes on learning to); both only with continuous data
    detector.adversary = "none"
    detector.learning_rate = 1e-3  # falls to 0 as a cosine
    detector.weight_decay = 0.0
    detector.batch_size = 256  # inliers, over all devices; as many outliers are made
    detector.steps = 3_000
    detector.steps_per_call = 1  # more pays for dense networks and flows
    detector.log_every_steps = 100
    detector.evaluate_every_steps = 500

    config.figures = figures = ConfigDict()
    figures.n_samples = 64
    figures.temperature = 1.0

    return finish(config, variant)


def finish(config: ConfigDict, variant: str) -> ConfigDict:
    """Applies a variant: "" is the experiment itself, "smoke" shrinks it to seconds on a CPU."""
    if variant not in ("", "smoke"):
        raise ValueError(f"the config has no variant {variant!r}; there is 'smoke'")
    if variant == "smoke":
        config.data.n_rows = 300
        if config.flow.architecture == "stages":
            config.flow.n_blocks = tuple(min(n_blocks, 2) for n_blocks in config.flow.n_blocks)
            config.flow.width = tuple(min(width, 32) for width in config.flow.width)
        config.detector.steps = 4
        config.detector.steps_per_call = min(config.detector.steps_per_call, 2)
        config.detector.log_every_steps = 2
        config.detector.evaluate_every_steps = 2
        config.detector.batch_size = 16
        config.training.steps = 4
        config.training.steps_per_call = min(config.training.steps_per_call, 2)
        config.training.batch_size = 16
        config.training.log_every_steps = 2
        config.training.evaluate_every_steps = 2
        config.archetypal_analysis.choose_up_to = 3
        config.archetypal_analysis.n_bootstraps = 2
        config.figures.n_samples = 16
    return config
