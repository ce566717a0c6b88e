"""Every method on every embedded problem keeps the engine's promises."""

import dataclasses

import numpy as np
import torch

import mixkit
from mixkit import AutoMix, Averaged, Concatenated, Erm, Mix, Mixed, Pairing, Sources
from mixkit.comparison.adapters import find_adapters


@dataclasses.dataclass(frozen=True)
class KeepAll:
    """Partners as usual, but every sample keeps all of itself."""

    expected_partner_share: float = 0.0

    def __call__(self, targets, generator):
        return Pairing(torch.randperm(len(targets), generator=generator), torch.ones(len(targets)))


def kept_whole(count, targets, generator):
    """Return sources of `count` samples, of which the first keeps everything."""
    pairing = Sources.of(KeepAll()(targets, generator))
    more = count - 2
    index = torch.cat([pairing.index, pairing.index[:, 1:].expand(-1, more)], 1)
    return Sources(index, torch.cat([pairing.lam, torch.zeros(len(targets), more)], 1))


def plain_loss(objective, step, rows):
    """Return the loss without mixing, in evaluation mode."""
    objective.eval()
    with torch.no_grad():
        value = sum(step(objective, rows).values())
    objective.train()
    return float(value)


def total(terms):
    """Return the sum of an objective's terms."""
    return torch.stack(list(terms.values())).sum()


def gradients(objective):
    """Return the gradients of all parameters, zeros where there is none."""
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in objective.parameters()]


def test_the_embedded_problems_are_the_five_that_are_tested_here():
    adapters, missing = find_adapters()
    assert not missing
    found = {problem.name: problem.modality for a in adapters.values() for problem in a.embedded()}
    assert found == {"digits": "image", "crops": "table", "keywords": "audio", "motifs": "graph", "blocks": "node"}


def test_every_default_method_of_an_adapter_exists_and_suits_it():
    known = mixkit.methods()
    for adapter in find_adapters()[0].values():
        assert adapter.default_methods
        assert all(adapter.modality in known[name].modalities for name in adapter.default_methods)


def test_training_lowers_the_loss(problem, rows, method, build, step, trained):  # noqa: PLR0917 - fixtures
    objective = build(method)
    before = plain_loss(objective, step, rows)
    trained(objective, epochs=40 if problem.name == "blocks" else 8)  # a node's features are faint
    assert plain_loss(objective, step, rows) < 0.9 * before


def test_same_seed_gives_the_same_numbers_bit_for_bit(problem, method, build, trained):
    first = trained(build(method), epochs=2)
    torch.rand(7)  # the global generator's state must not matter
    second = trained(build(method), epochs=2)
    assert first[0] == second[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_a_step_leaves_inputs_and_targets_untouched(prepared, rows, method, build, snapshot):
    picked = torch.from_numpy(rows[:12])
    inputs, targets = prepared.batch(picked), prepared.targets[picked].clone()
    held, goals = snapshot(inputs), targets.clone()
    total(build(method)(inputs, targets)).backward()
    assert held
    assert all(torch.equal(a, b) for a, b in zip(held, snapshot(inputs), strict=True))
    assert torch.equal(targets, goals)


def test_lam_of_one_is_the_plain_loss(rows, mixing_method, build, step):
    objective = build(mixing_method)
    if isinstance(objective, Averaged):
        objective = objective.objective
    if isinstance(objective, AutoMix):
        count = getattr(objective.block, "count", 2)
        objective.pairs, objective._partner_share = (lambda *drawn: kept_whole(count, *drawn)), 0.0
        objective.clean = Concatenated()  # of all rows
        wanted = objective.clean_weight + objective.blend_weight + 1
    else:
        assert isinstance(objective, Mixed)
        # a mix without pairs mixes words: one of them is the clip itself
        whole = {"pairs": KeepAll()} if isinstance(objective.mix, Mix) else {"words": (1,)}
        objective.mix = dataclasses.replace(objective.mix, **whole)
        wanted = objective.clean_weight + objective.decoupled_weight + 1
    objective.model.eval()  # else batch statistics and dropout would differ where clean rows come beside
    terms = step(objective, rows[:12])
    of_model = total({name: term for name, term in terms.items() if name not in ("block", "lam")})
    plain = total(step(Erm(objective.model, objective.task).eval(), rows[:12]))
    torch.testing.assert_close(of_model, wanted * plain, rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_gives_finite_gradients(rows, method, build, step):
    objective = build(method)
    total(step(objective, rows[:1])).backward()
    assert all(bool(grad.isfinite().all()) for grad in gradients(objective))


def test_missing_labels_have_no_gradient(prepared, rows, batch_method, build, step):
    objective = build(batch_method)
    missing = torch.full_like(prepared.targets[:12], torch.nan)
    terms = step(objective, rows[:12], missing)
    total(terms).backward()
    assert all(float(term.detach()) == 0.0 for term in terms.values())
    assert all(not bool(grad.any()) for grad in gradients(objective))


def test_a_sample_of_weight_two_counts_as_the_sample_twice(rows, build, step):
    objective = build("erm")
    objective.model.eval()  # dropout would hit the copies differently
    total(step(objective, rows[:6], weights=torch.tensor([2.0, 1, 1, 1, 1, 1]))).backward()
    weighted = gradients(objective)
    objective.zero_grad()
    total(step(objective, np.append(rows[:6], rows[0]))).backward()
    for a, b in zip(weighted, gradients(objective), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_missing_label_is_as_if_the_row_were_not_there(prepared, rows, build, step):
    objective = build("erm")
    objective.model.eval()
    targets = prepared.targets[rows[:6]].clone()
    targets[0] = torch.nan
    total(step(objective, rows[:6], targets)).backward()
    missing = gradients(objective)
    objective.zero_grad()
    total(step(objective, rows[1:6])).backward()
    for a, b in zip(missing, gradients(objective), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_methods_of_a_seed_start_from_the_same_weights(method, build):
    plain, other = build("erm").model, build(method).model
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))
