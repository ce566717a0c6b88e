"""How a comparison is judged: the front door to its pure functions.

* `judge_resampled`: repeated K-fold splits (corrected resampled t-test);
* `judge_official`, `judge_official_total`: several seeds on one official split, "for this training set";
* `across_problems`: a method over several problems;
* `detectable_before`: what a design can detect, before any run.

`verdict` holds the rule that turns a difference and its spread into helps, hurts, equivalent or undecided;
`benchmarks/null_calibration.py` measures how often it errs.
"""

from mixkit.comparison.across import RandomEffects, across_problems, random_effects, signed_rank
from mixkit.comparison.official import judge_official, judge_official_total
from mixkit.comparison.resampled import detectable_before, judge_resampled
from mixkit.comparison.verdict import Rule, Verdict

__all__ = [
    "RandomEffects",
    "Rule",
    "Verdict",
    "across_problems",
    "detectable_before",
    "judge_official",
    "judge_official_total",
    "judge_resampled",
    "random_effects",
    "signed_rank",
]
