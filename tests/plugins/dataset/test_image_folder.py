import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde.core import DataSpec
from scoresde.plugins.dataset.image_folder import ImageFolder


def paint(path: Path, pixels: np.ndarray, **extra) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **extra)
    return pixels


def random(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def only(folder: ImageFolder) -> torch.Tensor:
    items = folder.open("train")
    assert len(items) == 1
    return items.batch([0])["x"][0]


def test_a_picture_of_the_right_size_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "deep" / "er" / "a.PNG", random(8, 8, 3))
    folder = ImageFolder(root=tmp_path, size=8, test_share=0.0)
    torch.testing.assert_close(only(folder), torch.from_numpy(pixels).movedim(2, 0), rtol=0, atol=0)
    assert folder.open("train").spec == DataSpec(shape=(3, 8, 8), range=(-1.0, 1.0), levels=256)


def test_grey_and_colour_are_what_was_declared(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "a.png", random(8, 8))
    torch.testing.assert_close(only(ImageFolder(root=tmp_path, size=8, test_share=0.0)), torch.from_numpy(pixels).expand(3, 8, 8))
    grey = ImageFolder(root=tmp_path, size=8, channels=1, centered=False, test_share=0.0)
    torch.testing.assert_close(only(grey), torch.from_numpy(pixels)[None])
    assert grey.open("train").spec == DataSpec(shape=(1, 8, 8), range=(0.0, 1.0), levels=256)


def test_the_shorter_side_is_fitted_and_the_longer_cropped_about_the_centre(tmp_path: Path) -> None:
    """Four stripes, 128 by 64: the inner two are seen, a quarter as large, and constant three pixels away from the edges."""
    colours = np.array([10, 90, 160, 250], np.uint8)
    paint(tmp_path / "a.png", np.repeat(np.repeat(colours[None], 64, 0), 32, 1))
    x = only(ImageFolder(root=tmp_path, size=16, channels=1, test_share=0.0))
    assert x[0][:, [3, 4, 11, 12]].tolist() == [[90, 90, 160, 160]] * 16
    paint(tmp_path / "a.png", np.repeat(np.repeat(colours[:, None], 64, 1), 32, 0))
    x = only(ImageFolder(root=tmp_path, size=16, channels=1, test_share=0.0))
    assert x[0][[3, 4, 11, 12]].tolist() == [[value] * 16 for value in (90, 90, 160, 160)]


def test_a_square_is_cut_out_before(tmp_path: Path) -> None:
    """CelebA's: 140 of 178 x 218 pixels, from column 19 and row 39."""
    pixels = paint(tmp_path / "a.png", random(218, 178, 3))
    cut = torch.from_numpy(pixels[39:179, 19:159].copy()).movedim(2, 0)
    torch.testing.assert_close(only(ImageFolder(root=tmp_path, size=140, crop=140, test_share=0.0)), cut, rtol=0, atol=0)
    paint(tmp_path / "a.png", random(139, 178, 3))
    with pytest.raises(ValueError, match=r"a\.png: crop = 140 is larger than its 178 x 139 pixels$"):
        only(ImageFolder(root=tmp_path, size=64, crop=140, test_share=0.0))


def test_transparent_places_are_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    paint(tmp_path / "a.png", pixels)
    x = only(ImageFolder(root=tmp_path, size=4, test_share=0.0))
    assert x[:, :, 0].tolist() == [[0, 0, 255, 255]] * 3


def test_a_camera_on_its_side_is_turned(tmp_path: Path) -> None:
    pixels = random(6, 6, 3)
    exif = Image.Exif()
    exif[274] = 6
    paint(tmp_path / "a.png", pixels, exif=exif)
    x = only(ImageFolder(root=tmp_path, size=6, test_share=0.0))
    torch.testing.assert_close(x, torch.from_numpy(np.rot90(pixels, -1).copy()).movedim(2, 0), rtol=0, atol=0)


def test_the_path_decides_the_split(tmp_path: Path) -> None:
    names = [f"{a}/{b}.png" for a in "pq" for b in range(30)]
    for number, name in enumerate(names):
        paint(tmp_path / name, np.full((2, 2), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    folder = ImageFolder(root=tmp_path, size=2, channels=1, test_share=0.3)
    for split in ("train", "test"):
        items = folder.open(split)
        expected = sorted(n for n in names if (int(hashlib.sha256(n.encode()).hexdigest()[:12], 16) / 2**48 < 0.3) == (split == "test"))
        assert list(items.paths) == expected
        indices = list(reversed(range(len(items))))
        assert items.batch(indices)["x"][:, 0, 0, 0].tolist() == [names.index(expected[i]) for i in indices]
    assert 8 <= len(folder.open("test")) <= 28


def test_pictures_are_read_when_needed_and_a_bad_one_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", random(4, 4))
    (bad := tmp_path / "b.png").write_bytes(b"no picture")
    whole = (tmp_path / "a.png").read_bytes()
    (cut := tmp_path / "c.png").write_bytes(whole[: len(whole) - 25])
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(deep := tmp_path / "d.png")
    items = ImageFolder(root=tmp_path, size=4, channels=1, test_share=0.0).open("train")
    assert items.batch([0])["x"].shape == (1, 1, 4, 4)
    with pytest.raises(ValueError, match=f"^{re.escape(f'image_folder: cannot read the picture {bad}: Pillow knows no such format')}$"):
        items.batch([0, 1])
    with pytest.raises(ValueError, match=f"^{re.escape(f'image_folder: cannot read the picture {cut}: ')}.+$"):
        items.batch([2])
    message = f"image_folder: cannot read the picture {deep}: its mode is I;16, more than 8 bits a channel"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        items.batch([3])


def test_missing_pictures_are_told_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'image_folder: there is no folder {missing}')}$"):
        ImageFolder(root=missing, size=4).open("train")
    looked = ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'image_folder: no picture below {tmp_path} (looked for {looked})')}$"):
        ImageFolder(root=tmp_path, size=4).open("train")
    paint(tmp_path / "a.png", random(4, 4))
    message = f"image_folder: none of the 1 pictures below {tmp_path} is in the test split with test_share = 0.0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ImageFolder(root=tmp_path, size=4, test_share=0.0).open("test")
