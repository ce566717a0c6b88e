"""Edges of a graph whose nodes are put in one another's place, and random draws for pairs of nodes."""

import torch
from torch import Tensor

from mixkit_graph.virtual_nodes import incoming


def pair_draws(edges: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return two numbers in [0, 1) for each edge, float64 (E,) each, the same for both of its directions.

    They are a hash (splitmix64's finaliser, Steele et al. 2014) of the sum of its nodes' random numbers, so that it
    takes no sorting to find the directions that belong together.

    Args:
        edges: int64 (2, E).
        numbers: int64 (N,), random, a number a node.

    >>> pair_draws(torch.tensor([[0, 2, 1], [2, 0, 2]]), torch.tensor([5, 6, 7]))[0]
    tensor([0.2177, 0.2177, 0.8632], dtype=torch.float64)
    """
    x = numbers[edges[0]] + numbers[edges[1]]  # overflow of int64 is meant, here and below
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ upper(x, shift)) * factor
    x = x ^ upper(x, 31)
    return upper(x, 32).double() * 2.0**-32, (x & (2**32 - 1)).double() * 2.0**-32


def upper(x: Tensor, shift: int) -> Tensor:
    """Return int64 numbers shifted right as if they had no sign.

    >>> upper(torch.tensor([-1, 8]), 62)
    tensor([3, 0])
    """
    return (x >> shift) & ((1 << 64 - shift) - 1)


def pulled_back(edges: Tensor, some: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges (u, v) for which (place[u], place[v]) is one of `edges[:, some]`.

    Args:
        edges: int64 (2, E).
        some: int64 (E',), which of them.
        place: int64 (N,), where each node is put; several may be put in one place.

    Returns:
        Which of the edges each one comes from, int64 (E",), and they themselves, int64 (2, E").

    >>> pulled_back(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 1]), torch.tensor([1, 0, 2]))
    (tensor([0, 1]), tensor([[1, 0],
            [0, 2]]))
    """
    nodes = torch.arange(len(place), device=place.device)
    inverse = torch.empty_like(place).scatter_(0, place, nodes)
    if torch.equal(inverse[place], nodes):  # a permutation, as of `BetaPairs`
        return some, inverse[edges[:, some]]
    source, by_source = incoming(place, edges[0, some], len(place))
    some = some[by_source]
    target, by_target = incoming(place, edges[1, some], len(place))
    some, source = some[by_target], source[by_target]
    # a loop stays at one node, even where several are put there
    straight = (edges[0, some] != edges[1, some]) | (source == target)
    return some[straight], torch.stack([source, target])[:, straight]


def already_there(edges: Tensor, own: Tensor, taken: Tensor, other: Tensor, place: Tensor) -> Tensor:
    """Return which of the edges `other` (2, E") are among `edges[:, own]`, bool (E").

    Args:
        edges: int64 (2, E).
        own: bool (E,).
        taken: int64 (E",), which edge each of the others comes from.
        other: int64 (2, E").
        place: int64 (N,), where each node is put.
    """
    here = place == torch.arange(len(place), device=place.device)
    stays = here[other].all(0)  # then it is the very edge that it comes from; only the rest is looked up
    found = own[taken] & stays
    near = edges[:, own & ~here[edges].all(0)]
    rest = other[:, ~stays]
    found[~stays] = torch.isin(rest[0] * len(place) + rest[1], near[0] * len(place) + near[1])
    return found
