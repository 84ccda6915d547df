#!/usr/bin/env python3
"""Pictures by us, Pillow and sharp, one thread each, from a file's bytes to the outputs' bytes, in turn.

    cargo build --release --bench pictures
    SHARP_DIR=<a folder with node_modules/sharp> \\
        benches/pictures.py OURS PHOTO [--runs 9] [--only NAME …] [--json]

OURS is the bench's program (target/release/deps/pictures-…), PHOTO a JPEG. Prints the median milliseconds of each,
and the ratio of each pair of runs' median: below 1 we are faster. JPEG has quality 75, 4:2:0 and the standard Huffman
tables with all three. A case that one of them has not is left empty. Needs Pillow, and node with sharp unless
SHARP_DIR is unset.
"""
import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from PIL import AvifImagePlugin, Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

HERE = pathlib.Path(__file__).parent
FONT = ImageFont.load_default(size=36)
# Of itself it takes all cores for these.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def jpeg(picture, **options):
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75, **options)
    return out.getbuffer().nbytes


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getbuffer().nbytes


def opened(data, size=None):
    picture = Image.open(io.BytesIO(data))
    if size:
        # Pillow's own reduced decode, which thumbnail() asks for by itself.
        picture.draft("RGB", size)
    picture.load()
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def small(picture):
    return picture.resize((800, 600), Image.LANCZOS)


def scaled(data, kind, **options):
    """What PHOTO is at 800×600, in another format."""
    return saved(small(opened(data)), kind, **options)


def thumbnail(picture):
    picture = picture.copy()
    picture.thumbnail((150, 150), Image.LANCZOS)
    return picture


def marked(picture):
    left, top, right, bottom = ImageDraw.Draw(picture).textbbox((0, 0), "MySite", font=FONT)
    layer = Image.new("RGBA", (right - left, bottom - top))
    ImageDraw.Draw(layer).text((-left, -top), "MySite", font=FONT, fill=(255, 255, 255, 128))
    picture.paste(layer, (picture.width - layer.width - 10, picture.height - layer.height - 10), layer)
    return picture


def own_thumbnail(data):
    picture = Image.open(io.BytesIO(data))
    picture.thumbnail((150, 150), Image.LANCZOS)
    return jpeg(picture)


def main_job(data):
    picture = opened(data)
    return jpeg(small(picture)) + jpeg(thumbnail(picture)) + jpeg(marked(picture))


SEPIA = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)

# What PHOTO is written as for the cases that begin with "from".
SOURCES = {"png": {}, "webp": {"quality": 82}, "avif": {"quality": 60}, "gif": {}, "tiff": {}, "bmp": {}}


def resized(kind, quality=None):
    return {"type": "resize", "width": 800, "height": 600, "format": kind, "quality": quality}


# Name, operations (each at quality 75 unless it has one), Pillow's way.
CASES = [
    ("main", [{"type": "resize", "width": 800, "height": 600}, {"type": "thumbnail", "size": [150, 150]},
              {"type": "watermark", "text": "MySite"}], main_job),
    ("resize", {"type": "resize", "width": 800, "height": 600}, lambda d: jpeg(small(opened(d)))),
    ("thumbnail", {"type": "thumbnail", "size": [150, 150]}, own_thumbnail),
    ("watermark", {"type": "watermark", "text": "MySite"}, lambda d: jpeg(marked(opened(d)))),
    ("convert", {"type": "convert", "format": "jpeg"}, lambda d: jpeg(opened(d))),
    ("to png", resized("png"), lambda d: scaled(d, "PNG")),
    ("to webp", resized("webp", 82), lambda d: scaled(d, "WEBP", quality=82)),
    ("to avif", resized("avif", 60), lambda d: scaled(d, "AVIF", quality=60, max_threads=1)),
    ("to gif", resized("gif"), lambda d: scaled(d, "GIF")),
    ("to tiff", resized("tiff"), lambda d: scaled(d, "TIFF", compression="tiff_adobe_deflate")),
    *((f"from {kind}", resized("jpeg", 75), lambda d: jpeg(small(opened(d)))) for kind in SOURCES),
    ("cover", {"type": "resize", "width": 600, "height": 600, "fit": "cover"},
     lambda d: jpeg(ImageOps.fit(opened(d), (600, 600), Image.LANCZOS))),
    ("crop", {"type": "crop", "left": 500, "top": 400, "width": 1200, "height": 1000},
     lambda d: jpeg(opened(d).crop((500, 400, 1700, 1400)))),
    ("rotate 90", {"type": "rotate", "angle": 90}, lambda d: jpeg(opened(d).transpose(Image.ROTATE_270))),
    ("rotate 30", {"type": "rotate", "angle": 30},
     lambda d: jpeg(opened(d).rotate(-30, Image.BICUBIC, expand=True))),
    ("flip", {"type": "flip"}, lambda d: jpeg(opened(d).transpose(Image.FLIP_TOP_BOTTOM))),
    ("flop", {"type": "flop"}, lambda d: jpeg(opened(d).transpose(Image.FLIP_LEFT_RIGHT))),
    ("blur", {"type": "blur", "sigma": 4}, lambda d: jpeg(opened(d).filter(ImageFilter.GaussianBlur(4)))),
    ("sharpen", {"type": "sharpen"}, lambda d: jpeg(opened(d).filter(ImageFilter.UnsharpMask(1, 100, 0)))),
    ("brightness", {"type": "brightness", "amount": 1.3},
     lambda d: jpeg(ImageEnhance.Brightness(opened(d)).enhance(1.3))),
    ("contrast", {"type": "contrast", "amount": 1.3}, lambda d: jpeg(ImageEnhance.Contrast(opened(d)).enhance(1.3))),
    ("saturation", {"type": "saturation", "amount": 1.3}, lambda d: jpeg(ImageEnhance.Color(opened(d)).enhance(1.3))),
    ("gamma", {"type": "gamma", "gamma": 2.2},
     lambda d: jpeg(opened(d).point([round(255 * (i / 255) ** (1 / 2.2)) for i in range(256)] * 3))),
    ("grayscale", {"type": "grayscale"}, lambda d: jpeg(opened(d).convert("L"))),
    ("sepia", {"type": "sepia"}, lambda d: jpeg(opened(d).convert("RGB", SEPIA))),
    ("invert", {"type": "invert"}, lambda d: jpeg(ImageOps.invert(opened(d)))),
    ("pixelate", {"type": "pixelate", "size": 16},
     lambda d: jpeg((lambda p: p.reduce(16).resize(p.size, Image.NEAREST))(opened(d)))),
    ("pad", {"type": "pad", "top": 40, "right": 40, "bottom": 40, "left": 40}, lambda d: jpeg(ImageOps.expand(opened(d), 40, "white"))),
]


class Asked:
    """A program that answers a line with milliseconds and bytes."""

    def __init__(self, *command, **environment):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment)

    def ask(self, *fields):
        print(*fields, sep="\t", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("!"):
            return None, answer[2:]
        milliseconds, size = answer.split()
        return float(milliseconds), int(size)


def operations(wanted):
    entries = [dict(entry) for entry in (wanted if isinstance(wanted, list) else [wanted])]
    for entry in entries:
        if entry.setdefault("quality", 75) is None:
            del entry["quality"]
    return json.dumps(entries)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("ours")
    arguments.add_argument("photo")
    arguments.add_argument("--runs", type=int, default=9)
    arguments.add_argument("--only", nargs="*")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    folder = tempfile.TemporaryDirectory()
    sources = {}
    for kind, options in SOURCES.items():
        path = sources[f"from {kind}"] = f"{folder.name}/photo.{kind}"
        Image.open(asked.photo).save(path, **options)
    # As a worker has its children do (src/worker/child.rs).
    ours = Asked(asked.ours, "--bench", MALLOC_MMAP_THRESHOLD_="1073741824", MALLOC_TRIM_THRESHOLD_="134217728")
    sharps = Asked("node", HERE / "pictures.js") if os.environ.get("SHARP_DIR") else None

    def pillows(way, data):
        started = time.perf_counter()
        size = way(data)
        return (time.perf_counter() - started) * 1000, size

    if not asked.json:
        print("| case | ours, ms | Pillow | sharp | ours/Pillow | ours/sharp | bytes: ours | Pillow | sharp |")
        print("|---|---|---|---|---|---|---|---|---|")
    for name, wanted, way in CASES:
        if asked.only and name not in asked.only:
            continue
        photo = sources.get(name, asked.photo)
        data = pathlib.Path(photo).read_bytes()
        ways = {
            "ours": lambda: ours.ask(photo, operations(wanted)),
            "pillow": lambda: pillows(way, data),
            "sharp": lambda: sharps.ask(photo, name) if sharps else (None, ""),
        }
        times, sizes = {key: [] for key in ways}, {}
        for run in range(asked.runs + 1):
            for key, once in ways.items():
                milliseconds, sizes[key] = once()
                if milliseconds is None:
                    times[key] = None
                elif run and times[key] is not None:
                    times[key].append(milliseconds)
        if times["ours"] is None:
            print(f"{name}: {sizes['ours']}", file=sys.stderr)

        def ratio(other):
            if times["ours"] is None or times[other] is None:
                return None
            return statistics.median(a / b for a, b in zip(times["ours"], times[other]))

        medians = {key: times[key] and statistics.median(times[key]) for key in ways}
        ratios = [ratio("pillow"), ratio("sharp")]
        sizes = {key: sizes[key] if times[key] else None for key in ways}
        if asked.json:
            print(json.dumps({"case": name, "ms": medians, "bytes": sizes, "to_pillow": ratios[0], "to_sharp": ratios[1]}))
            continue
        cells = [*(medians[key] and f"{medians[key]:.1f}" for key in ways), *(r and f"{r:.2f}" for r in ratios),
                 *(sizes[key] and f"{sizes[key]:,}" for key in ways)]
        print("|", name, *(f"| {cell or ''}" for cell in cells), "|", flush=True)


if __name__ == "__main__":
    main()
