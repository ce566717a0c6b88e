"""A trained network on disk: `model.safetensors` and a JSON card; final fits and predictions."""

import csv
import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import mixkit
from mixkit.comparison.adapters import adapter_for, find_adapters
from mixkit.comparison.entry import Entry
from mixkit.comparison.problems import DataError, LoadOptions, Prepared
from mixkit.comparison.run import Progress, Run, build, execute
from mixkit.comparison.screen import Screen
from mixkit.comparison.splits import Cell
from mixkit.comparison.tuning import Trial
from mixkit.objectives import evaluating
from mixkit.training.evaluation import chunks
from mixkit.training.loop import train, training_fabric

ROWS_AT_ONCE = 512


def fit_final(entry: Entry, method: str, folder: Path, screen: Screen) -> dict[str, Any]:
    """Train `method` on all training data, write network and card to `folder`, and return the card.

    The scores on the card are those of one training before, on the first cell of the comparison's splits (the official
    test set, or a fold that was held out); the network that is written has then seen the held-out rows as well, but
    never an official test set.

    Raises:
        OSError: the folder cannot be written to.
        FloatingPointError: the training diverged.
    """
    cell = entry.cells()[0]
    folder.mkdir(parents=True, exist_ok=True)  # better told now than after the training
    with screen.epochs(f"1 of 2: training on {len(cell.train)} rows, to score on {len(cell.test)}") as told:
        record, _ = execute(entry.problem, entry.problem.prepare(cell.train), entry.run(method, cell), told)
    official = entry.problem.official
    rows = [cell.train, cell.validation] if official is not None else [cell.train, cell.validation, cell.test]
    everything = np.sort(np.concatenate(rows))
    prepared = entry.problem.prepare(everything)
    run = entry.run(method, Cell(cell.repeat, cell.fold, cell.seed, everything, everything[:0], cell.test))
    with screen.epochs(f"2 of 2: training on all {len(everything)} rows") as told:
        network, loss = final_network(entry, prepared, run, told)
    card = {
        "mixkit": mixkit.__version__,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "modality": entry.problem.modality,
        "title": entry.problem.title,
        "notes": list(entry.problem.notes),
        "classes": list(entry.problem.classes),
        "rows": len(everything),
        "method": method,
        "configuration": record["configuration"],
        "scores": {"rows": record["rows"], **record["scores"], **record["descriptive"]},
        "final_training_loss": loss,
        "data": dict(prepared.card),
    }
    write_artifact(folder, network, card)
    return card


def final_network(entry: Entry, prepared: Prepared, run: Run, told: Progress) -> tuple[nn.Module, float]:
    """Train on the rows of `run` and return the network and the last epoch's loss; `told` follows the epochs."""
    fabric = training_fabric(run.device, run.precision)
    objective, recipe = build(prepared, run, Trial(run.parameters))
    targets = objective.task.encode(torch.from_numpy(entry.problem.labels))
    loss = float("nan")
    for epoch in train(objective, prepared, run.cell.train, targets, recipe, seed=run.cell.seed, fabric=fabric):
        loss = epoch.loss
        told(epoch.number, recipe.epochs)
    return objective.deploy(), loss


def write_artifact(folder: Path, network: nn.Module, card: dict[str, Any]) -> None:
    """Write `model.safetensors` and `model.json`, both or none."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    text = json.dumps(card, indent=1, allow_nan=False) + "\n"
    weights, described = folder / "model.safetensors", folder / "model.json"
    parts = [path.with_name(path.name + ".part") for path in (weights, described)]
    try:
        save_file(tensors, parts[0])
        parts[1].write_text(text, "utf-8")
        parts[0].replace(weights)
        parts[1].replace(described)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a trained network.

    Raises:
        DataError: there is none in `folder`, or it cannot be read.
    """
    try:
        card = json.loads((folder / "model.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} must be a folder written by `mixkit train`: {error}") from error
    if not isinstance(card, dict) or not {"modality", "classes", "data"} <= card.keys():
        raise DataError(f"{folder / 'model.json'} must be a card written by `mixkit train`, but parts are missing")
    return card


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for rows of unlabelled data.

    Attributes:
        names: of the rows.
        classes: names of the classes; empty for regression.
        outputs: probabilities (n, K), or predicted values (n, K).
    """

    names: list[str]
    classes: list[str]
    outputs: Tensor

    def write_csv(self, file: TextIO) -> None:
        """Write a line a row: name, prediction, and one column a class with its probability."""
        writer = csv.writer(file)
        writer.writerow(["name", "prediction", *(f"p({name})" for name in self.classes)])
        for name, row in zip(self.names, self.outputs.tolist(), strict=True):
            if self.classes:
                writer.writerow([name, self.classes[int(np.argmax(row))], *(f"{value:.6f}" for value in row)])
            else:
                writer.writerow([name, *(repr(value) for value in row)])


def predict_data(folder: Path, path: Path, options: LoadOptions) -> Predictions:
    """Return the predictions of the network in `folder` for the data at `path`.

    Raises:
        DataError: the folder is no trained network, the data do not fit it or cannot be read.
    """
    card = read_card(folder)
    adapters, missing = find_adapters()
    adapter = adapter_for(card["modality"], adapters, missing)
    if not path.exists():
        raise DataError(f"{path} does not exist; check the spelling")
    prepared, names = adapter.restore(card["data"], path, options)
    network = restored_network(prepared, folder)
    rows = np.arange(len(names))
    with evaluating(network), torch.no_grad():
        parts = [network(prepared.batch(picked)).float() for picked in chunks(rows, ROWS_AT_ONCE)]
    return Predictions(names, card["classes"], prepared.task.probabilities(torch.cat(parts)))


def restored_network(prepared: Prepared, folder: Path) -> nn.Module:
    """Return the network with the weights in `folder`.

    Raises:
        DataError: the weights are missing or are another network's.
    """
    network = prepared.model()
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{folder / 'model.safetensors'} must hold the network of model.json: {error}") from error
    return network
