#!/usr/bin/env python3
"""Compares the colours of pictures with embedded profiles with those of LittleCMS (Pillow's ImageCms).

    scripts/colours.py PIXMILL FOLDER [--tolerance 6]

PIXMILL is the program, FOLDER holds pictures. Each is converted to PNG by the program and by LittleCMS (perceptual intent);
the two are compared after scaling down to 64×64, so that decoders' noise does not count. Exit code 1 if the largest difference
is above the tolerance. Needs Pillow.
"""
import argparse, io, pathlib, subprocess, sys, tempfile
from PIL import Image, ImageChops, ImageCms, ImageOps


def reference(path):
    image = Image.open(path)
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode not in ("L", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if image.mode == "RGBA" else image
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            colours = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            profile = None
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours, bool(profile)


def flat(image):
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB").resize((64, 64), Image.Resampling.BOX)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pixmill"), parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tolerance", type=int, default=6)
    args = parser.parse_args()
    worst = 0
    for path in sorted(path for path in args.folder.iterdir() if path.is_file()):
        with tempfile.NamedTemporaryFile(suffix=".png") as out:
            done = subprocess.run([args.pixmill, "process", path, out.name, "--convert", "png"], capture_output=True, text=True)
            if done.returncode:
                print(f"refused  {path.name}: {done.stderr.strip().splitlines()[-1]}")
                continue
            try:
                wanted, converted = reference(path)
                difference = ImageChops.difference(flat(Image.open(out.name)), flat(wanted))
            except OSError as error:
                print(f"unread   {path.name}: {error}")
                continue
        largest = max(high for _, high in difference.getextrema())
        worst = max(worst, largest)
        print(f"{largest:4}     {path.name}{'' if converted else ' (no profile)'}")
    print(f"largest difference {worst}, tolerance {args.tolerance}")
    sys.exit(worst > args.tolerance)


if __name__ == "__main__":
    main()
