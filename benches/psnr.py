#!/usr/bin/env python3
"""Our three default outputs at quality 75 beside Pillow's, as the tutorial's tasks.py writes them.

    python3 benches/psnr.py PIXMILL PHOTO        (needs Pillow and numpy)

PSNR is taken against an unmarked, uncompressed reference: Pillow's Lanczos3 for the small outputs, the source for
the full size.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageDraw, ImageFont

OPERATIONS = [
    {"type": "resize", "width": 800, "height": 600, "quality": 75},
    {"type": "thumbnail", "size": [150, 150], "quality": 75},
    {"type": "watermark", "text": "MySite", "quality": 75},
]


def psnr(one, other):
    difference = numpy.asarray(one, float) - numpy.asarray(other, float)
    return 10 * numpy.log10(255**2 / numpy.mean(difference**2))


def font():
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 36)
    except OSError:
        return ImageFont.load_default(size=36)


def pillows(photo, folder):
    small, thumbnail, marked = photo.resize((800, 600)), photo.copy(), photo.copy()
    thumbnail.thumbnail((150, 150))
    draw = ImageDraw.Draw(marked)
    left, top, right, bottom = draw.textbbox((0, 0), "MySite", font=font())
    place = (photo.width - right - 10, photo.height - bottom - 10)
    draw.text(place, "MySite", font=font(), fill=(255, 255, 255, 128))
    for i, picture in enumerate([small, thumbnail, marked]):
        picture.save(folder / f"{i}.jpg")
        yield folder / f"{i}.jpg"


def main():
    program, source = sys.argv[1:]
    photo = Image.open(source).convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        out = folder / "out"
        subprocess.run([program, "batch", source, "--out", out, "--operations", json.dumps(OPERATIONS)], check=True)
        ours = sorted(out.glob("*.jpg"))
        thumbnail = photo.copy()
        thumbnail.thumbnail((150, 150), Image.LANCZOS, reducing_gap=None)
        references = [photo.resize((800, 600), Image.LANCZOS), thumbnail, photo]
        for one, other, reference in zip(ours, pillows(photo, folder), references):
            pictures = [Image.open(path).convert("RGB") for path in (one, other)]
            figures = [f"{psnr(picture, reference):.2f} dB" for picture in pictures]
            if reference is photo:
                unmarked = (0, 0, photo.width, photo.height - 100)
                rest = [psnr(picture.crop(unmarked), photo.crop(unmarked)) for picture in pictures]
                figures += ["outside the mark"] + [f"{value:.2f} dB" for value in rest]
            print(pictures[0].size, one.stat().st_size, other.stat().st_size, *figures)


if __name__ == "__main__":
    main()
