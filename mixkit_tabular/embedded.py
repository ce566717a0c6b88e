"""The table that needs no file: generated in code, with mixed column types, gaps and noisy labels."""

import numpy as np
import pandas as pd

from mixkit_tabular.columns import Roles, infer_roles
from mixkit_tabular.problem import TableProblem, describe
from mixkit_tabular.target import make_target

_ROWS = 700
_SEED = 20240229


def embedded_problems() -> tuple[TableProblem, ...]:
    """Return the generated table as a problem."""
    return (make_crops(),)


def make_crops(rows: int = _ROWS, seed: int = _SEED) -> TableProblem:
    """Return a generated table about fields and what grows best on them: three classes, five numbers, three categories.

    The best crop follows from curved preferences for warmth and acidity that depend on soil and water; one row in
    eight has a random label; one cell in twenty of two columns is missing.
    """
    frame = generate(rows, seed)
    target = make_target(frame["crop"])
    features = frame.drop(columns="crop")
    roles: Roles = infer_roles(features)
    notes = ("generated in code, not measured: the labels follow known rules with 12 % of them drawn at random",)
    return TableProblem(
        name="crops",
        title=describe("crops", rows, roles, target.classes) + " (generated)",
        notes=(*notes, *target.notes, *roles.notes),
        labels=target.labels,
        classes=target.classes,
        groups=None,
        grouped_look=None,
        features=features,
        roles=roles,
        target="crop",
        columns=tuple(frame.columns),
    )


def generate(rows: int, seed: int) -> pd.DataFrame:
    """Return the generated table with its target `crop`; the same numbers for the same seed."""
    draw = np.random.default_rng(seed)
    soil = draw.choice(["clay", "loam", "peat", "sand"], size=rows, p=[0.25, 0.4, 0.1, 0.25])
    water = draw.choice(["canal", "rain", "well"], size=rows, p=[0.2, 0.5, 0.3])
    district = draw.choice([f"d{i:02d}" for i in range(1, 15)], size=rows)
    warmth = draw.normal(14.0, 4.0, size=rows)
    rain = draw.gamma(6.0, 110.0, size=rows)
    acidity = draw.normal(6.4, 0.8, size=rows)
    height = draw.exponential(180.0, size=rows)
    slope = draw.beta(1.5, 6.0, size=rows) * 30.0
    moisture = rain / 660 + 0.5 * (water == "canal") - 0.4 * (soil == "sand") + 0.3 * (soil == "peat")
    heat = (warmth - 14.0) / 4.0 - height / 500 + 0.3 * np.isin(district, ["d03", "d07", "d11"])
    scores = np.stack(
        [
            1.1 - 1.6 * (heat - 0.6) ** 2 + 0.9 * moisture * (soil == "clay"),
            1.2 * np.sin(1.8 * heat) - 2.2 * (acidity - 6.0) ** 2 + 1.3 * (soil == "sand"),
            0.5 - 2.0 * np.abs(moisture - 1.2) - 0.5 * heat + 0.05 * slope * (water == "rain"),
        ],
        axis=1,
    )
    best = scores.argmax(axis=1)
    best = np.where(draw.random(rows) < 0.12, draw.integers(0, 3, size=rows), best)
    frame = pd.DataFrame({"warmth": warmth.round(1), "rain": rain.round(), "acidity": acidity.round(2)})
    frame = frame.assign(height=height.round(), slope=slope.round(1), soil=soil, water=water, district=district)
    frame.loc[draw.random(rows) < 0.05, "acidity"] = np.nan
    frame.loc[draw.random(rows) < 0.05, "water"] = None
    return frame.assign(crop=np.array(["barley", "lupin", "potato"])[best])
