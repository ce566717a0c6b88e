"""Images: folders of pictures and scikit-learn's digits as problems, two small networks, the adapter."""

from functools import partial

from mixkit.comparison.problems import Adapter
from mixkit.files import holds
from mixkit.image.networks import SmallConvNet, SmallResNet
from mixkit.image.problem import ImageProblem, digits, load_images, restore_images
from mixkit.image.reading import SUFFIXES

__all__ = ["ADAPTER", "ImageProblem", "SmallConvNet", "SmallResNet", "digits", "load_images"]


def _embedded() -> list[ImageProblem]:
    return [digits()]


ADAPTER = Adapter(
    modality="image",
    embedded=_embedded,
    recognises=partial(holds, suffixes=SUFFIXES),
    load=load_images,
    restore=restore_images,
    default_methods=("label-smoothing", "mixup", "mixupe", "cutmix"),
)
