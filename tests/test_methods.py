"""Named methods: what there is, how one is found, and that each builds and trains with every kind's defaults."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import mixkit
from mixkit import AtSite, Erm, MapTokens, Mixed, MultiClass, MultiLabel, Regression
from mixkit import method as registry
from mixkit.method import MODALITIES, Method
from mixkit.recipes import METHODS

NAMES = [
    "adautomix",
    "adautomix-2",
    "automix",
    "automix+e",
    "automix-lean",
    "cutmix",
    "decoupled",
    "erm",
    "erm+ema",
    "label-smoothing",
    "manifold",
    "mixup",
    "mixup+ema",
    "mixupe",
    "mixupe-inbatch",
    "mixupe-quarter",
    "regmixup",
    "samix",
]
TASKS = {"classes": MultiClass(3), "labels": MultiLabel(3), "values": Regression((0.0,) * 3, (1.0,) * 3)}


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3))


def entry(value):
    """Return an entry point that loads `value`, or raises it."""

    def load():
        if isinstance(value, Exception):
            raise value
        return value

    return SimpleNamespace(load=load, value="package:NAME")


def named(name):
    return Method(
        name=name,
        modalities=("table",),
        paper="",
        summary="",
        build=lambda setting, _: Erm(setting.model, setting.task),
    )


def test_these_methods_are_there():
    assert sorted(method.name for method in METHODS) == NAMES
    assert set(NAMES) <= set(mixkit.methods())
    for name, found in mixkit.methods().items():
        assert found.name == name
        assert found.summary
        assert found.modalities
        assert set(found.modalities) <= set(MODALITIES)
        assert set(found.grid) <= set(found.defaults)


@pytest.mark.parametrize("modality", [None, *MODALITIES])
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        pytest.param(method, kind, id=f"{method.name}-{kind}")
        for method in METHODS
        for kind, task in TASKS.items()
        if isinstance(task, method.tasks)
    ],
)
def test_every_method_takes_a_step_with_the_defaults_of_every_kind_of_data(method, modality, kind):
    task = TASKS[kind]
    model = net()
    tokens = MapTokens("0:input", 3)
    objective = mixkit.objective(
        method.name, model, task, torch.Generator().manual_seed(0), sites=["1"], tokens=tokens, modality=modality
    )
    x, t = torch.rand(6, 3, 4, 4), torch.eye(3)[[0, 1, 2] * 2]
    terms = objective(x, t)
    sum(terms.values()).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    learned = {"mixed", "clean", "block", "lam"}
    expected = {
        "erm": {"loss"}, "erm+ema": {"loss"}, "label-smoothing": {"loss"}, "decoupled": {"mixed", "decoupled"},
        "regmixup": {"mixed", "clean"}, "mixup+ema": {"mixed", "clean"},
        "automix": learned, "automix-lean": learned - {"clean"}, "samix": learned, "automix+e": learned | {"penalty"},
        "adautomix": {"mixed", "clean", "blend", "block"}, "adautomix-2": {"mixed", "clean", "block"},
    }  # fmt: skip
    assert set(terms) == expected.get(method.name, {"mixed", "penalty"} if "mixupe" in method.name else {"mixed"})


def test_defaults_follow_the_papers_by_kind_of_data():
    mixupe = mixkit.methods()["mixupe"]
    assert mixupe.parameters() == {"alpha": 1.0, "eta": 1e-3, "until": 1.0}
    assert mixupe.parameters("audio") == mixupe.parameters("table") == {"alpha": 0.2, "eta": 1e-2, "until": 1.0}
    assert mixupe.parameters("graph") == mixupe.parameters("node") == {"alpha": 1.0, "eta": 1e-2, "until": 1.0}
    objective = mixkit.objective("mixupe", net(), MultiClass(3), modality="table", parameters={"eta": 0.5})
    assert isinstance(objective, Mixed)
    assert objective.mix.pairs.alpha == 0.2
    assert objective.penalty.eta == 0.5


def test_label_smoothing_smooths_whoever_encoded():
    model, task, x = net(), MultiClass(3), torch.rand(6, 3, 4, 4)
    codes = torch.tensor([0, 1, 2] * 2)
    objective = mixkit.objective("label-smoothing", model, task, parameters={"smoothing": 0.2})
    expected = nn.functional.cross_entropy(model(x), codes, label_smoothing=0.2)
    torch.testing.assert_close(objective(x, task.encode(codes))["loss"], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mixpu"}, r"method must be one of .*mixup, .*got 'mixpu'; did you mean 'mixup'\?"),
        ({"name": "zzz"}, r"method must be one of .*, got 'zzz'$"),
        ({"name": "mixup", "modality": "images"}, r"modality must be one of image, .*, graph, node, got 'images'"),
        (
            {"name": "mixup", "parameters": {"alfa": 1}},
            r"parameters of 'mixup' must be among \['alpha', 'until'\], got 'alfa'=1",
        ),
        ({"name": "mixup", "parameters": {"alpha": 0}}, r"alpha must be positive, got alpha=0"),
        (
            {"name": "mixup", "place": AtSite("nope")},
            r"site must name a submodule, .* got 'nope'.*Sequential has 0, 1, 2",
        ),
        ({"name": "manifold"}, r"manifold needs sites to choose from, got none; .*Sequential has 0, 1, 2, 3"),
        ({"name": "manifold", "sites": ["nope"]}, r"site must name a submodule, .* got 'nope'"),
        ({"name": "label-smoothing", "task": Regression()}, r"label_smoothing must have a task with classes or labels"),
    ],
)
def test_wrong_requests_are_refused(arguments, message):
    options = {"model": net(), "task": MultiClass(3), **arguments}
    with pytest.raises(ValueError, match=message):
        mixkit.objective(**options)


def test_methods_join_by_entry_point_and_missing_extras_are_left_out(monkeypatch):
    one, two, three = named("one"), named("two"), named("three")
    points = [entry(one), entry((two, three)), entry(ImportError("no extra"))]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "mixkit.methods" else [])
    assert {"one", "two", "three", *NAMES} == set(mixkit.methods())
    assert isinstance(mixkit.objective("two", net(), MultiClass(3)), Erm)


def test_two_methods_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry(named("mixup"))])
    with pytest.raises(
        ValueError, match=r"names of their own, but 'mixup' is registered again by package:NAME; uninstall"
    ):
        mixkit.methods()


def test_importing_mixkit_loads_no_adapter_and_no_heavy_part():
    heavy = [
        "sklearn",
        "pandas",
        "torchaudio",
        "torch_geometric",
        "lightning_fabric",
        "matplotlib",
        "joblib",
        "torchvision",
    ]
    code = f"import sys, mixkit; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stderr


def test_everything_public_is_exported():
    assert [name for name in mixkit.__all__ if not hasattr(mixkit, name)] == []
    assert mixkit.__all__ == sorted(mixkit.__all__, key=str.casefold) or sorted(mixkit.__all__) == mixkit.__all__
