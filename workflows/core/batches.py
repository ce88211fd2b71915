"""Core nodes that join images, and turn images into masks and back."""

import torch
from torch import Tensor

from ...nodes.graph.host import FolderHost, Result

FLOAT32 = 4


def run_image_batch(host: FolderHost, *, image1: Tensor, image2: Tensor) -> Result:
    """(images,): both, the second in the size of the first."""
    return Result((join(host, [image1, image2]),))


def run_batch_images(host: FolderHost, *, images: dict[str, Tensor]) -> Result:
    """(images,): all, in the size of the first."""
    return Result((join(host, list(images.values())),))


def run_image_to_mask(host: FolderHost, *, image: Tensor, channel: str) -> Result:
    """(mask (B, H, W),): one colour; an image without transparency is opaque everywhere."""
    if image.shape[-1] < 4 and channel == "alpha":
        take_bytes(host, image[..., 0].numel() * FLOAT32)
    place = ("red", "green", "blue", "alpha").index(channel)
    return Result((image[..., place] if place < image.shape[-1] else torch.ones(image.shape[:3]),))


def run_mask_to_image(host: FolderHost, *, mask: Tensor) -> Result:
    """(image,): grey."""
    take_bytes(host, 3 * mask.numel() * FLOAT32)
    return Result((mask.reshape(-1, *mask.shape[-2:])[..., None].repeat(1, 1, 1, 3),))


def run_invert_mask(host: FolderHost, *, mask: Tensor) -> Result:
    """(mask,): white becomes black."""
    take_bytes(host, mask.numel() * FLOAT32)
    return Result((1 - mask,))


def join(host: FolderHost, batches: list[Tensor]) -> Tensor:
    """One batch; images of other sizes are cut and scaled to the size of the first, as ComfyUI does."""
    take_bytes(host, sum(len(batch) for batch in batches) * batches[0][0].numel() * FLOAT32)
    return torch.cat([fit(batch, batches[0].shape[1:3]) for batch in batches])


def fit(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, H, W, C) in another size (height, width): what sticks out of its shape is cut off evenly."""
    if tuple(batch.shape[1:3]) == tuple(size):
        return batch
    height, width = batch.shape[1:3]
    wide = width / height > size[1] / size[0]
    across = round((width - height * size[1] / size[0]) / 2) if wide else 0
    down = 0 if wide else round((height - width * size[0] / size[1]) / 2)
    cut = batch[:, down : height - down, across : width - across]
    return torch.nn.functional.interpolate(cut.movedim(-1, 1), size=tuple(size), mode="bilinear").movedim(1, -1)


def take_bytes(host: FolderHost, count: int, instead: str = "use fewer or smaller ones") -> None:
    """Count bytes of images that are about to be made; ValueError if the run makes too many."""
    host.image_bytes += count
    if host.image_bytes > host.most_image_bytes:
        raise ValueError(
            f"ComfyUI's own image nodes make images in full size, and in one run "
            f"{host.most_image_bytes / 2**30:.3g} GiB of them are allowed; {instead}, use Load Images, which makes "
            "them smaller while it reads, or allow more (--max-image-gib)."
        )
