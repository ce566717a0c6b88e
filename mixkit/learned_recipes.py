"""Methods that learn how to mix: AutoMix, its cheap form, with MixupE's penalty, SAMix and AdAutoMix."""

from mixkit.automix import AutoMix
from mixkit.block_losses import Alternating, BlockLoss, LamPenalty, MixedLoss
from mixkit.clean import Clean, InBatch
from mixkit.lam_embedding import LamMultiplied, LamPrior
from mixkit.method import MODALITIES, Method, Parameters, Setting
from mixkit.mixblock import FromEach, FromPair, GroupMixBlock, MixBlock, NeckValue, TokenMixer
from mixkit.objectives import Objective
from mixkit.pairing import BetaPairs, BetaSources
from mixkit.penalties import MixupE
from mixkit.tasks import MultiClass, MultiLabel
from mixkit.tokens import TokenSite

AUTOMIX_PAPER = "Liu et al. 2022, ECCV, arXiv:2103.13027"
ON_A_GRID = ("image", "table", "audio")
"""Kinds of data whose samples share a grid of positions."""
ALPHA_GRID = (0.5, 1.0, 2.0, 4.0)
RATE_GRID = (3e-3, 1e-2, 3e-2)
"""Learning rates of the block, which is small and fresh and learns faster than a model does, with Adam."""


def tokens_of(setting: Setting) -> TokenSite:
    """Return what learned mixing looks at.

    Raises:
        ValueError: the setting does not say.
    """
    if setting.tokens is None:
        raise ValueError(
            "tokens must say what learned mixing looks at, got None; name a site and its channels, e.g. "
            'tokens=MapTokens("layer3", 256) for feature maps'
        )
    return setting.tokens


def automix(
    setting: Setting,
    parameters: Parameters,
    block: TokenMixer,
    pairs: BetaPairs | BetaSources,
    *,
    penalty: MixupE | None = None,
    clean: Clean | None = None,
    block_loss: BlockLoss,
    clean_weight: float = 1.0,
    blend_weight: float = 0.0,
    lam_margin: float = 0.08,
    block_every: int = 1,
) -> AutoMix:
    """Return AutoMix where its tokens can be mixed, or else at the setting's place."""
    tokens = tokens_of(setting)
    return AutoMix(
        setting.model,
        setting.task,
        tokens,
        block,
        tokens.place or setting.place,
        pairs=pairs,
        penalty=penalty,
        generator=setting.generator,
        clean=clean,
        clean_weight=clean_weight,
        blend_weight=blend_weight,
        block_loss=block_loss,
        lam_margin=lam_margin,
        block_rate=parameters["block_rate"],
        block_every=block_every,
        total_steps=setting.total_steps,
    )


def mix_block(setting: Setting) -> MixBlock:
    """Return AutoMix's block for the setting's tokens.

    NOTE[DIFF] Tokens without a common grid (nodes of graphs) get projections of their own for queries and keys, a
    two-layer value and lam as the prior: one projection for both lays like on like, and no block learned to keep a
    planted motif with it (tests/graph/test_planted_motif.py).
    """
    tokens = tokens_of(setting)
    if tokens.common_grid:
        return MixBlock(tokens.channels, generator=setting.generator)
    return MixBlock(
        tokens.channels, projection=FromEach(), value=NeckValue(), lam=LamPrior(), generator=setting.generator
    )


def block_loss(setting: Setting) -> MixedLoss:
    """Return what that block minimises; without a common grid weights are pushed away from grey as in SAMix."""
    return MixedLoss() if tokens_of(setting).common_grid else MixedLoss(LamPenalty(variance=2.0))


def build_automix(setting: Setting, parameters: Parameters) -> Objective:
    """Return AutoMix in its published form."""
    pairs = BetaPairs(parameters["alpha"])
    return automix(setting, parameters, mix_block(setting), pairs, block_loss=block_loss(setting))


def build_automix_lean(setting: Setting, parameters: Parameters) -> Objective:
    """Return AutoMix with half of the batch clean and a block that learns every fourth step.

    As many clean as mixed rows, like the published form with its two passes; the mixed loss is over both.
    """
    return automix(
        setting,
        parameters,
        mix_block(setting),
        BetaPairs(parameters["alpha"]),
        clean=InBatch(0.5),
        clean_weight=0.0,
        block_loss=block_loss(setting),
        block_every=4,
    )


def build_automix_e(setting: Setting, parameters: Parameters) -> Objective:
    """Return AutoMix with MixupE's penalty on the clean logits that it has anyway."""
    return automix(
        setting,
        parameters,
        mix_block(setting),
        BetaPairs(parameters["alpha"]),
        penalty=MixupE(parameters["eta"]),
        block_loss=block_loss(setting),
    )


def build_samix(setting: Setting, parameters: Parameters) -> Objective:
    """Return SAMix: attention over the pair, a two-layer value, lam as a factor, weights pushed away from grey.

    NOTE[DIFF] Weights are resized as the tokens say: repeated, unless those are `smooth` as in the released code.
    """
    block = MixBlock(
        tokens_of(setting).channels,
        projection=FromPair(),
        value=NeckValue(),
        lam=LamMultiplied(0.25),
        generator=setting.generator,
    )
    away_from_grey = MixedLoss(LamPenalty(variance=2.0))
    return automix(setting, parameters, block, BetaPairs(parameters["alpha"]), block_loss=away_from_grey)


def build_adautomix(setting: Setting, parameters: Parameters) -> Objective:
    """Return AdAutoMix of three samples: hard and easy mixes in turn, clean and blended loss by halves."""
    block = GroupMixBlock(tokens_of(setting).channels, count=3, generator=setting.generator)
    return automix(
        setting,
        parameters,
        block,
        BetaSources(parameters["alpha"], count=3),
        block_loss=Alternating(parameters["beta"]),
        clean_weight=0.5,
        blend_weight=0.5,
        lam_margin=0.03,
    )


def build_adautomix2(setting: Setting, parameters: Parameters) -> Objective:
    """Return AdAutoMix of two samples."""
    block = GroupMixBlock(tokens_of(setting).channels, count=2, generator=setting.generator)
    return automix(
        setting,
        parameters,
        block,
        BetaPairs(parameters["alpha"]),
        block_loss=Alternating(parameters["beta"]),
        lam_margin=0.03,
    )


LEARNED = (
    Method(
        name="automix",
        modalities=MODALITIES,
        paper=AUTOMIX_PAPER,
        summary="a block learns where to mix, through a momentum teacher; about three times mixup's cost",
        build=build_automix,
        defaults={"alpha": 2.0, "block_rate": 1e-2},
        grid={"alpha": ALPHA_GRID, "block_rate": RATE_GRID},
    ),
    Method(
        name="automix-lean",
        modalities=MODALITIES,
        paper=AUTOMIX_PAPER,
        summary="automix, cheaper: half of the batch stays clean, the block learns every fourth step",
        build=build_automix_lean,
        defaults={"alpha": 2.0, "block_rate": 4e-2},
        grid={"alpha": ALPHA_GRID, "block_rate": (1e-2, 4e-2, 1e-1)},
    ),
    Method(
        name="automix+e",
        modalities=MODALITIES,
        paper=f"{AUTOMIX_PAPER}; Zou et al. 2023, arXiv:2212.13381",
        summary="automix with MixupE's penalty on its clean logits",
        build=build_automix_e,
        defaults={"alpha": 2.0, "block_rate": 1e-2, "eta": 1e-3},
        modality_defaults={kind: {"eta": 1e-2} for kind in ("table", "audio", "graph", "node")},
        grid={"alpha": ALPHA_GRID, "block_rate": RATE_GRID, "eta": (1e-4, 1e-3, 1e-2, 1e-1)},
    ),
    Method(
        name="samix",
        modalities=ON_A_GRID,
        paper="Li et al. 2021, arXiv:2111.15454",
        summary="automix with attention over the pair, a two-layer value and weights pushed away from grey",
        build=build_samix,
        defaults={"alpha": 2.0, "block_rate": 1e-2},
        grid={"alpha": ALPHA_GRID, "block_rate": RATE_GRID},
    ),
    Method(
        name="adautomix",
        modalities=ON_A_GRID,
        paper="Qin et al. 2024, ICLR, arXiv:2312.11954",
        summary="three samples a mix, by a block that makes hard and easy ones in turn",
        build=build_adautomix,
        defaults={"alpha": 1.0, "beta": 0.3, "block_rate": 1e-2},
        grid={"alpha": ALPHA_GRID, "block_rate": RATE_GRID, "beta": (0.1, 0.3, 0.4)},
        tasks=(MultiClass, MultiLabel),
    ),
    Method(
        name="adautomix-2",
        modalities=ON_A_GRID,
        paper="Qin et al. 2024, ICLR, arXiv:2312.11954",
        summary="adautomix with two samples a mix",
        build=build_adautomix2,
        defaults={"alpha": 1.0, "beta": 0.3, "block_rate": 1e-2},
        grid={"alpha": ALPHA_GRID, "block_rate": RATE_GRID, "beta": (0.1, 0.3, 0.4)},
        tasks=(MultiClass, MultiLabel),
    ),
)
