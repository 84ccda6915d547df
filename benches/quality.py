#!/usr/bin/env python3
"""How near resized pictures come to an exact resample: ours beside Pillow's and sharp's.

    SHARP_DIR=<a folder with node_modules/sharp> benches/quality.py PIXMILL FOLDER

Every JPEG of FOLDER is made 800 pixels wide and a thumbnail inside 150×150, as PNG (the resample alone) and as JPEG
of quality 75 (with its size in bytes). The reference is Lanczos3 in 32-bit floats on Pillow's full decode, gamma-curved
as all three work. PSNR over all channels, SSIM over luma (Gaussian window, sigma 1.5), means over the pictures.
Needs Pillow and numpy; without SHARP_DIR sharp is left out.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageOps

SHARP = """
const sharp = require(require.resolve('sharp', { paths: [process.env.SHARP_DIR] }));
const [, source, folder] = process.argv;
const sizes = { resize: [800, null, {}], thumbnail: [150, 150, { fit: 'inside', withoutEnlargement: true }] };
(async () => {
  for (const [name, [w, h, o]] of Object.entries(sizes)) {
    const s = () => sharp(source).autoOrient().resize(w, h, o);
    await s().png().toFile(`${folder}/sharp-${name}.png`);
    await s().jpeg({ quality: 75, optimiseCoding: false }).toFile(`${folder}/sharp-${name}.jpg`);
  }
})();
"""
KINDS = [("resize", {"type": "resize", "width": 800}), ("thumbnail", {"type": "thumbnail", "size": [150, 150]})]


def exact(photo, size):
    channels = [numpy.asarray(c.convert("F").resize(size, Image.LANCZOS), float) for c in photo.split()]
    return numpy.clip(numpy.stack(channels, axis=-1), 0, 255)


def psnr(one, other):
    return 10 * numpy.log10(255**2 / numpy.mean((one - other) ** 2))


def blurred(plane):
    x = numpy.arange(-5, 6)
    window = numpy.exp(-(x**2) / (2 * 1.5**2))
    window /= window.sum()
    for axis in (0, 1):
        plane = numpy.apply_along_axis(lambda line: numpy.convolve(line, window, "valid"), axis, plane)
    return plane


def ssim(one, other):
    a, b = (picture @ numpy.array([0.299, 0.587, 0.114]) for picture in (one, other))
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return numpy.mean((2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))


def made(program, path, photo, folder):
    """Yields who, what, which format, and the file."""
    for name, operation in KINDS:
        for ending in ("png", "jpg"):
            out = folder / f"ours-{name}.{ending}"
            wanted = json.dumps([operation | ({} if ending == "png" else {"quality": 75})])
            subprocess.run([program, "process", path, out, "--operations", wanted], check=True, capture_output=True)
            yield "ours", name, ending, out
            # Pillow as it is used: thumbnail() asks for a reduced decode by itself.
            if name == "thumbnail":
                pillow = Image.open(path)
                pillow.thumbnail((150, 150), Image.LANCZOS)
                pillow = ImageOps.exif_transpose(pillow).convert("RGB")
            else:
                pillow = photo.resize((800, round(photo.height * 800 / photo.width)), Image.LANCZOS)
            out = folder / f"pillow-{name}.{ending}"
            pillow.save(out, quality=75)
            yield "Pillow", name, ending, out
    if os.environ.get("SHARP_DIR"):
        subprocess.run(["node", "-e", SHARP, path, folder], check=True)
        for name, _ in KINDS:
            for ending in ("png", "jpg"):
                yield "sharp", name, ending, folder / f"sharp-{name}.{ending}"


def main():
    program, folder = sys.argv[1:]
    figures = {}
    for path in sorted(pathlib.Path(folder).glob("*.jpg")):
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        with tempfile.TemporaryDirectory() as scratch:
            for who, name, ending, out in made(program, path, photo, pathlib.Path(scratch)):
                picture = Image.open(out).convert("RGB")
                reference, pixels = exact(photo, picture.size), numpy.asarray(picture, float)
                figure = psnr(pixels, reference), ssim(pixels, reference), out.stat().st_size
                figures.setdefault((name, ending, who), []).append(figure)
        print(path.name, *(f"{who} {name}.{ending} {figures[name, ending, who][-1][0]:.2f}"
                           for name, ending, who in sorted(figures)), file=sys.stderr)
    print("| output | | PSNR, mean | lowest | SSIM, mean | lowest | bytes, mean |\n|---|---|---|---|---|---|---|")
    for (name, ending, who), rows in sorted(figures.items()):
        decibels, alike, sizes = zip(*rows)
        print(f"| {name}, {ending} | {who} | {statistics.mean(decibels):.2f} dB | {min(decibels):.2f} dB"
              f" | {statistics.mean(alike):.5f} | {min(alike):.5f} | {statistics.mean(sizes):,.0f} |")


if __name__ == "__main__":
    main()
