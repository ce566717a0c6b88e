"""Who mixes with whom, and how much of itself each sample keeps: `Pairing`, `Sources`, and their samplers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from mixkit.randomness import numpy_generator


@dataclass(frozen=True, eq=False)
class Pairing:
    """Partners and shares of one batch.

    Attributes:
        partner: int64 (B,), the row that each sample mixes with.
        lam: float32 (B,), in [0, 1]: the sample's OWN share of the data.

    Raises:
        ValueError: shapes or dtypes differ from these, an index or a share is out of range.

    >>> Pairing(partner=torch.tensor([1, 0]), lam=torch.tensor([0.25, 1.0])).lam
    tensor([0.2500, 1.0000])
    """

    partner: Tensor
    lam: Tensor

    def __post_init__(self) -> None:
        partner, lam = self.partner, self.lam
        if partner.ndim != 1 or partner.dtype != torch.int64:
            raise ValueError(f"partner must be int64 of shape (B,), got {partner.dtype} {tuple(partner.shape)}")
        if lam.shape != partner.shape or lam.dtype != torch.float32:
            raise ValueError(f"lam must be float32 of shape {tuple(partner.shape)}, got {lam.dtype} {tuple(lam.shape)}")
        if len(partner) and (int(partner.min()) < 0 or int(partner.max()) >= len(partner)):
            raise ValueError(f"partner must index the batch of {len(partner)}, got {partner.tolist()}")
        if not bool(((lam >= 0) & (lam <= 1)).all()):  # also false for NaN
            raise ValueError(f"lam must be in [0, 1], got {lam.tolist()}")

    def __len__(self) -> int:
        return len(self.partner)

    def keep(self, rows: Tensor) -> "Pairing":
        """Return the pairing in which the rows that are True in `rows` (B,) keep all of themselves."""
        return Pairing(self.partner, torch.where(rows, 1.0, self.lam))

    @classmethod
    def identity(cls, size: int) -> "Pairing":
        """Return the pairing of `size` samples that mixes nothing."""
        return cls(torch.arange(size, device="cpu"), torch.ones(size, dtype=torch.float32, device="cpu"))


@dataclass(frozen=True, eq=False)
class Sources:
    """What each mixed sample of a batch is made of, K samples of two or more; `Pairing` is the case K = 2.

    Attributes:
        index: int64 (B, K), rows of the batch; column 0 is the sample itself.
        lam: float32 (B, K), their shares, in [0, 1], which sum to 1; column 0 is the sample's OWN share.

    Raises:
        ValueError: shapes or dtypes differ from these, column 0 is not the sample itself, shares do not sum to 1.

    >>> Sources.of(Pairing(torch.tensor([1, 0]), torch.tensor([0.25, 1.0]))).lam
    tensor([[0.2500, 0.7500],
            [1.0000, 0.0000]])
    """

    index: Tensor
    lam: Tensor

    def __post_init__(self) -> None:
        index, lam = self.index, self.lam
        if index.ndim != 2 or index.shape[1] < 2 or index.dtype != torch.int64:
            raise ValueError(
                f"index must be int64 of shape (B, K), K at least 2, got {index.dtype} {tuple(index.shape)}"
            )
        if lam.shape != index.shape or lam.dtype != torch.float32:
            raise ValueError(f"lam must be float32 of shape {tuple(index.shape)}, got {lam.dtype} {tuple(lam.shape)}")
        if not torch.equal(index[:, 0], torch.arange(len(index), device=index.device)):
            raise ValueError(f"index must name the sample itself in column 0, got {index[:, 0].tolist()}")
        if not bool(((lam >= 0) & (lam <= 1)).all() and ((lam.sum(1) - 1).abs() < 1e-5).all()):
            raise ValueError(f"lam must be in [0, 1] and sum to 1 in each row, got {lam.tolist()}")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def pairing(self) -> Pairing:
        """The sample's own share and its partner of the largest share."""
        largest = self.lam[:, 1:].argmax(1, keepdim=True) + 1
        return Pairing(self.index.gather(1, largest).squeeze(1), self.lam[:, 0].contiguous())

    def keep(self, rows: Tensor) -> "Sources":
        """Return the sources in which the rows that are True in `rows` (B,) keep all of themselves."""
        alone = torch.zeros_like(self.lam)
        alone[:, 0] = 1.0
        return Sources(self.index, torch.where(rows[:, None], alone, self.lam))

    @classmethod
    def of(cls, drawn: "Pairing | Sources") -> "Sources":
        """Return `drawn` as sources."""
        if isinstance(drawn, Sources):
            return drawn
        own = torch.arange(len(drawn), device="cpu")
        return cls(torch.stack([own, drawn.partner], 1), torch.stack([drawn.lam, 1 - drawn.lam], 1))


class PairSampler(Protocol):
    """Draws a `Pairing` for a batch.

    `expected_partner_share` is E[a] of MixupE (Zou et al. 2023, below eq. 4): 2 E[lam (1 - lam)], the mean share of
    the partner after every mixed pair has been re-labelled to its first or second member.
    """

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)]."""
        ...

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw for `targets` float (B, K)."""
        ...


@dataclass(frozen=True)
class BetaPairs:
    """Partners by a random permutation, lam ~ Beta(alpha, alpha): the pairs of mixup (Zhang et al. 2018, eq. 1).

    Args:
        alpha: both parameters of the Beta law, positive; draws are exact from 1e-3 to 1e3.
        per_sample: one lam a sample (default), else one shared by the batch.
            NOTE[DIFF] The paper's listing draws one lam a batch; one a sample has the same expectation and less noise.
        derange: nobody is its own partner (in a batch of two or more): the partners form one random cycle.

    Raises:
        ValueError: alpha is not a positive finite number.

    >>> pairs = BetaPairs(1.0, derange=True)(torch.zeros(4, 2), torch.Generator().manual_seed(0))
    >>> bool((pairs.partner != torch.arange(4)).all())
    True
    >>> round(BetaPairs(1.0).expected_partner_share, 4)      # alpha / (2 alpha + 1)
    0.3333
    """

    alpha: float
    per_sample: bool = True
    derange: bool = False

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)] = alpha / (2 alpha + 1) (Zou et al. 2023, section 3.2)."""
        return self.alpha / (2 * self.alpha + 1)

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw partners and shares for `targets` (B, K); only B matters."""
        size = len(targets)
        partner = random_cycle(size, generator) if self.derange else random_order(size, generator)
        return Pairing(partner, beta_shares(self.alpha, size, self.per_sample, generator))


@dataclass(frozen=True)
class BetaSources:
    """Several partners by random permutations, shares u_k / sum u with u_k ~ Beta(alpha, alpha) (AdAutoMix, K > 2).

    Args:
        alpha: both parameters of the Beta law, positive.
        count: K, the number of samples in a mix, the own one included, at least 2.

    Raises:
        ValueError: alpha is not a positive finite number, count is below 2.

    >>> BetaSources(1.0, count=3)(torch.zeros(4, 2), torch.Generator().manual_seed(0)).index.shape
    torch.Size([4, 3])
    """

    alpha: float
    count: int = 3

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got count={self.count!r}")

    @property
    def expected_partner_share(self) -> float:
        """1 - E[sum of squared shares], which for two is 2 E[lam (1 - lam)]; from 100,000 seeded draws."""
        shares = normalized_betas(self.alpha, 100_000, self.count, torch.Generator().manual_seed(0))
        return float(1 - shares.double().square().sum(1).mean())

    def __call__(self, targets: Tensor, generator: Generator) -> Sources:
        """Draw sources for `targets` (B, K); only B matters."""
        size = len(targets)
        partners = [random_order(size, generator) for _ in range(self.count - 1)]
        own = torch.arange(size, device="cpu")
        return Sources(torch.stack([own, *partners], 1), normalized_betas(self.alpha, size, self.count, generator))


@dataclass(frozen=True)
class SimilarPairs:
    """Partners with similar targets are likelier: C-Mixup (Yao et al. 2022, arXiv:2210.05775, eq. 6) inside a batch.

    Sample i takes partner j != i with probability proportional to exp(-|y_i - y_j|^2 / (2 bandwidth^2)).

    NOTE[DIFF] The authors' code keeps j = i among the candidates, so that a small bandwidth means "no mixing"; here a
    sample never draws itself while the batch has another.

    Args:
        alpha: of Beta(alpha, alpha), one lam a sample.
        bandwidth: in units of the encoded targets (for `Regression`: standard deviations of the target).

    Raises:
        ValueError: alpha or bandwidth is not a positive finite number.

    >>> targets = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> SimilarPairs(1.0, bandwidth=0.1)(targets, torch.Generator().manual_seed(0)).partner.tolist()
    [1, 0, 3, 2]
    """

    alpha: float
    bandwidth: float

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        check_positive("bandwidth", self.bandwidth)

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)] of the Beta law; who the partner is does not enter."""
        return BetaPairs(self.alpha).expected_partner_share

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw partners and shares for `targets` float (B, K)."""
        flat = targets.detach().to("cpu", torch.float64).flatten(1)
        # a missing label is as near to everyone as the mean label
        flat = torch.where(flat.isnan(), flat.nanmean(0).nan_to_num(), flat)
        log_odds = -torch.cdist(flat, flat).square() / (2 * self.bandwidth**2)
        return Pairing(gumbel_partners(log_odds, generator), beta_shares(self.alpha, len(targets), True, generator))


@dataclass(frozen=True)
class OtherClassPairs:
    """Partners of another class, uniformly, where the batch has one (as between-class learning does).

    Args:
        alpha: of Beta(alpha, alpha), one lam a sample.

    Raises:
        ValueError: alpha is not a positive finite number.

    >>> targets = torch.eye(2)[[0, 0, 1]]
    >>> OtherClassPairs(1.0)(targets, torch.Generator().manual_seed(0)).partner[:2].tolist()
    [2, 2]
    """

    alpha: float

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)] of the Beta law."""
        return BetaPairs(self.alpha).expected_partner_share

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw partners and shares for `targets` float (B, K); the class is the largest target."""
        classes = targets.detach().cpu().flatten(1).argmax(1)
        # a finite price: a batch of one class still has partners
        log_odds = torch.where(classes[:, None] == classes[None, :], -1e6, 0.0).double()
        return Pairing(gumbel_partners(log_odds, generator), beta_shares(self.alpha, len(targets), True, generator))


def beta_shares(alpha: float, size: int, per_sample: bool, generator: Generator) -> Tensor:
    """Return float32 (size,) draws from Beta(alpha, alpha), or one draw repeated."""
    # NumPy's sampler stays exact for tiny alpha (Johnk's method with a logarithmic fallback); torch's Beta
    # takes no generator and underflows there.
    draws = numpy_generator(generator).beta(alpha, alpha, size if per_sample else 1).astype(np.float32)
    return torch.from_numpy(draws).expand(size).clone()


def random_order(size: int, generator: Generator) -> Tensor:
    """Return int64 (size,): a uniformly random permutation, on the CPU whatever torch's default device is."""
    return torch.randperm(size, generator=generator, device="cpu")


def random_cycle(size: int, generator: Generator) -> Tensor:
    """Return int64 (size,): each index's successor in one uniformly random cycle through all of them."""
    order = random_order(size, generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(-1)
    return partner


def gumbel_partners(log_odds: Tensor, generator: Generator) -> Tensor:
    """Return int64 (B,): for each row of `log_odds` (B, B) a column j != i drawn with those odds."""
    size = len(log_odds)
    if size < 2:
        return torch.arange(size, device="cpu")
    uniform = torch.rand(size, size, dtype=torch.float64, generator=generator, device="cpu").clamp_min(1e-300)
    scores = log_odds - (-uniform.log()).log()
    return scores.fill_diagonal_(-torch.inf).argmax(1)


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a positive finite number."""
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive, got {name}={value!r}")


def normalized_betas(alpha: float, size: int, count: int, generator: Generator) -> Tensor:
    """Return float32 (size, count): independent Beta(alpha, alpha) draws over their sum; equal where all are 0."""
    drawn = beta_shares(alpha, size * count, True, generator).view(size, count).double()
    total = drawn.sum(1, keepdim=True)
    return torch.where(total > 0, drawn / total, 1 / count).float()
