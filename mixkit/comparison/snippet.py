"""The lines to paste into an own training loop for a method that helped."""

from mixkit.comparison.problems import Prepared, Problem
from mixkit.method import method
from mixkit.placement import AtInputs


def snippet(name: str, problem: Problem, prepared: Prepared) -> str:
    """Return Python lines that use the method `name` as it was used on `problem`."""
    chosen = method(name)
    arguments = [repr(name), "model", "task", f"parameters={chosen.parameters(problem.modality)}"]
    if not isinstance(prepared.place, AtInputs):
        arguments.append(f"place=mixkit.{prepared.place!r}")
    if chosen.at_sites:
        arguments.append(f"sites={list(prepared.sites)}")
    lines = [
        "import mixkit",
        "",
        f"task = mixkit.{prepared.task!r}",
        f"objective = mixkit.objective({', '.join(arguments)})",
        "optimizer = torch.optim.AdamW(objective.param_groups())",
        "objective.attach(optimizer)",
        "for inputs, labels in loader:",
        "    loss = sum(objective(inputs, objective.task.encode(labels)).values())",
        "    loss.backward()",
        "    optimizer.step()",
        "    optimizer.zero_grad()",
        "network = objective.deploy()",
    ]
    return "\n".join(lines)
