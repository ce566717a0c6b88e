"""`mixkit show`: mixed samples of one method, which is trained first if it learns how to mix."""

from mixkit.comparison.entry import Entry
from mixkit.comparison.gallery import gallery
from mixkit.comparison.learned_gallery import learns_to_mix
from mixkit.comparison.run import learned_items, train_trial
from mixkit.comparison.screen import Screen
from mixkit.comparison.tuning import Trial
from mixkit.files import plural
from mixkit.method import method as find_method
from mixkit.report.summary import GalleryItem
from mixkit.training.loop import training_fabric
from mixkit.training.threads import one_thread


def show_method(entry: Entry, method: str, screen: Screen, *, pairs: int) -> list[GalleryItem]:
    """Return `pairs` samples that `method` mixed.

    A method that learns how to mix is trained as in the first run of a comparison.

    Args:
        entry: the data, with the epochs and the device in its settings.
        method: its name.
        screen: told about a training.
        pairs: how many.

    Raises:
        ValueError: the method mixes nothing or cannot be built on these data; epochs or a device are given, but nothing
            is trained.
        FloatingPointError: the training diverged.
    """
    problem, prepared, cell = entry.problem, entry.first_prepared, entry.cells()[0]
    if learns_to_mix(problem, prepared, find_method(method)):
        return _trained_items(entry, method, screen, pairs)
    items = gallery(problem, prepared, [find_method(method)], cell.train, pairs=pairs)
    if not items:
        raise ValueError(f"--method must be one that mixes samples of a batch with one another, got {method!r}")
    for option in ("epochs", "device"):
        if getattr(entry.settings, option) is not None:
            raise ValueError(f"--{option} is for methods that learn how to mix, got --method {method}; leave it out")
    return items


def _trained_items(entry: Entry, method: str, screen: Screen, pairs: int) -> list[GalleryItem]:
    problem, prepared, cell = entry.problem, entry.first_prepared, entry.cells()[0]
    run = entry.run(method, cell)
    fabric = training_fabric(run.device, run.precision)
    what = f"{method} learns how to mix: training on {plural(len(cell.train), 'row')} first"
    with screen.epochs(what) as told, one_thread(fabric.device):
        trained = train_trial(problem, prepared, run, Trial(run.parameters), fabric=fabric, progress=told)
    items = learned_items(problem, prepared, run, trained, pairs)
    for item in items[:1]:
        screen.note(str(item.trained))
    return items
