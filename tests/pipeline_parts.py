"""What loader workers are sent in tests of pipelines; in a module of its own, which spawned processes can import."""

import torch


class SameClips(torch.utils.data.Dataset):
    """Eight times the same four clips, so that only what is drawn differs."""

    def __len__(self):
        return 32

    def __getitem__(self, i):
        return torch.sin(torch.arange(4000.0) * (1 + i % 4) / 20), torch.eye(4)[i % 4]


class Collate:
    """Stacks samples and mixes them by a pipeline."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __call__(self, samples):
        return self.pipeline(*map(torch.stack, zip(*samples, strict=True)))
