"""Pictures in a folder and its subfolders, resized so that the shorter side fits and cropped about the centre; 8 bits a channel. With
``crop`` a square is cut out about the centre before: 140 pixels of CelebA's 178 x 218 in NCSN's experiments (Song & Ermon, 2019, App. B).

A picture is held out if SHA-256 (FIPS 180-4, 2015) of its path relative to the folder, read as a number in [0, 1), is below the test
share: adding pictures moves no other one from one split to the other.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import attrs
import numpy as np
import torch
from torch import Tensor

from scoresde.core import Dataset, DataSpec, Items, Split, option

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@final
@attrs.frozen(kw_only=True)
class ImageFolder(Dataset):
    """All the pictures below a folder, in the order of their paths, read when they are needed."""

    name = "image_folder"

    root: Path = option(help="the folder")
    size: int = option(at_least=1, help="side of the square that the model sees")
    crop: int | None = option(None, at_least=1, help="side of the square about the centre that is resized; left out: the largest")
    channels: Literal[1, 3] = option(3, help="1 for grey, 3 for colour")
    centered: bool = option(True, help="whether the model sees the range [-1, 1] instead of [0, 1]")
    test_share: float = option(0.1, at_least=0, below=1, help="share of the pictures that is held out")

    def open(self, split: Split) -> Items:
        if not self.root.is_dir():
            raise FileNotFoundError(f"image_folder: there is no folder {self.root}")
        found = sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise FileNotFoundError(f"image_folder: no picture below {self.root} (looked for {', '.join(SUFFIXES)})")
        paths = [path for path in found if (place(path) < self.test_share) == (split == "test")]
        if not paths:
            raise ValueError(
                f"image_folder: none of the {len(found)} pictures below {self.root} is in the {split} split"
                f" with test_share = {self.test_share!r}"
            )
        return Pictures(self, paths)


def place(path: str) -> float:
    """The number in [0, 1) that decides the split of a relative path."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:6], "big") / 2**48


@final
class Pictures(Items):
    """The pictures of one split."""

    def __init__(self, folder: ImageFolder, paths: Sequence[str]) -> None:
        self.folder, self.paths = folder, tuple(paths)
        shape = (folder.channels, folder.size, folder.size)
        self.spec = DataSpec(shape=shape, range=(-1.0 if folder.centered else 0.0, 1.0), levels=256)

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return {"x": torch.stack([self._read(self.folder.root / self.paths[int(index)]) for index in indices])}

    def _read(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            with Image.open(path) as file:
                picture = ImageOps.exif_transpose(file)
                if picture.mode[0] in "IF":
                    raise ValueError(f"its mode is {picture.mode}, more than 8 bits a channel")
                picture = self._cropped(self._flatten(picture))
        except UnidentifiedImageError as error:
            raise ValueError(f"image_folder: cannot read the picture {path}: Pillow knows no such format") from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"image_folder: cannot read the picture {path}: {error}") from error
        size = self.folder.size
        fitted = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(fitted)).reshape(size, size, self.folder.channels).movedim(2, 0)

    def _cropped(self, picture: Any) -> Any:
        """The declared square about the centre, whose corner is rounded down."""
        side, (width, height) = self.folder.crop, picture.size
        if side is None:
            return picture
        if side > min(width, height):
            raise ValueError(f"crop = {side} is larger than its {width} x {height} pixels")
        left, top = (width - side) // 2, (height - side) // 2
        return picture.crop((left, top, left + side, top + side))

    def _flatten(self, picture: Any) -> Any:
        """Without transparency, laid on white, in the declared number of channels."""
        from PIL import Image

        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("L" if self.folder.channels == 1 else "RGB")
