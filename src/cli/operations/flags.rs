//! Every flag of an operation: its name, what it takes, what it does to the list, and its line of help.

/// What a flag does to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Begins an entry of the flag's own name.
    Entry,
    /// The same, without a value.
    Plain,
    /// Sets a field of the last entry of one of these types before it.
    Field(&'static [&'static str]),
    /// Goes for every output that does not say otherwise.
    Save,
    /// Stands for the whole list; beside it there is no other operation.
    Whole,
}

/// Name, value's name, role, help; in the order of `--help`.
pub(super) const FLAGS: [(&str, &str, Role, &str); 61] = [
    (
        "resize",
        "WxH",
        Role::Entry,
        "Resize to exactly 800x600, or to a width (800x) or a height (x600) with the aspect kept",
    ),
    ("thumbnail", "N|WxH", Role::Entry, "Shrink into a box of N×N or W×H, aspect kept, never enlarged"),
    (
        "crop",
        "WxH[+X+Y]|W:H",
        Role::Entry,
        "Cut out a size (400x300), a box (400x300+10+20), or the largest part of an aspect (16:9)",
    ),
    (
        "fit",
        "FIT",
        Role::Field(&["resize", "thumbnail"]),
        "How the --resize or --thumbnail before it meets its box: fill (--resize's default), contain, cover, \
         inside (--thumbnail's default), outside",
    ),
    (
        "gravity",
        "ANCHOR|X,Y|smart",
        Role::Field(&["resize", "thumbnail", "crop", "pad"]),
        "Which part the --resize, --thumbnail or --crop before it keeps: center (the default), top-left, top, …, \
         a focal point in shares such as 0.3,0.2, or smart: what draws the eye",
    ),
    ("filter", "FILTER", Role::Field(&["resize"]), "Of the --resize before it: nearest, bilinear, bicubic, lanczos3"),
    (
        "linear",
        "",
        Role::Field(&["resize"]),
        "Average light instead of stored values in the --resize before it: slower, fine bright detail stays bright",
    ),
    (
        "no-enlarge",
        "",
        Role::Field(&["resize"]),
        "Leave pictures that are smaller than the --resize before it as they are",
    ),
    ("rotate", "DEGREES", Role::Entry, "Turn clockwise by any angle; the canvas grows with it"),
    ("flip", "", Role::Plain, "Turn upside down, as in a lake"),
    ("flop", "", Role::Plain, "Exchange left and right, as in a mirror"),
    (
        "pad",
        "N|T,R,B,L|WxH|W:H",
        Role::Entry,
        "Widen the frame: by pixels on all sides or on each, to a size, or to an aspect",
    ),
    ("trim", "", Role::Plain, "Cut away a border of one colour"),
    (
        "round",
        "PX|SHARE%|circle",
        Role::Entry,
        "Round the corners by pixels or a share of the shorter side; circle: the circle in the middle",
    ),
    ("flatten", "", Role::Plain, "Lay what can be seen through over a --background [default: white]"),
    (
        "background",
        "COLOR",
        Role::Field(&["resize", "thumbnail", "rotate", "pad", "round", "flatten"]),
        "What shows around the picture in the operation before it, with --flatten through it [default: transparent \
         where there is alpha, else white]",
    ),
    ("blur", "SIGMA", Role::Entry, "Blur with a Gaussian of that many pixels, 0.3 to 250"),
    ("sharpen", "SIGMA", Role::Entry, "Sharpen by an unsharp mask of that many pixels, 0.3 to 10; 1 is usual"),
    (
        "amount",
        "N",
        Role::Field(&["sharpen", "sepia"]),
        "How much the --sharpen (0 to 10) or --sepia (0 to 1) before it does [default: 1]",
    ),
    (
        "threshold",
        "0…255",
        Role::Field(&["sharpen", "trim"]),
        "Smaller differences are left alone by the --sharpen before it [default: 0], or belong to the border for the \
         --trim before it [default: 10]",
    ),
    ("brightness", "FACTOR", Role::Entry, "Multiply all values: 1 changes nothing, 0 is black"),
    ("contrast", "FACTOR", Role::Entry, "Multiply the distance from middle grey: 1 changes nothing"),
    ("saturation", "FACTOR", Role::Entry, "Multiply the strength of colours: 1 changes nothing, 0 is grey"),
    ("gamma", "GAMMA", Role::Entry, "Brighten (above 1) or darken (below 1) the middle tones"),
    ("grayscale", "", Role::Plain, "Take the colours away"),
    ("sepia", "", Role::Plain, "Brown as an old photograph"),
    ("invert", "", Role::Plain, "Make a negative"),
    ("pixelate", "PX", Role::Entry, "Coarsen into squares of that many pixels a side"),
    ("watermark", "TEXT", Role::Entry, "Write TEXT onto the picture, half transparent, bottom right"),
    (
        "overlay",
        "PATH|NAME",
        Role::Entry,
        "Lay another picture onto the picture, bottom right: the file at a path (./logo.png), or one in the folder \
         watermark.overlays, which is all that a server has",
    ),
    (
        "position",
        "ANCHOR",
        Role::Field(&["watermark"]),
        "Place of the --watermark or --overlay before it: top-left, top, top-right, left, center, right, bottom-left, \
         bottom, bottom-right, or tile for all over the picture",
    ),
    (
        "size",
        "PX|%",
        Role::Field(&["watermark"]),
        "Font size of the --watermark, or width of the --overlay before it, in pixels or as a share of the picture's \
         width: 36, 5% [default: 36, or the overlay's own]",
    ),
    (
        "margin",
        "PX|%",
        Role::Field(&["watermark"]),
        "Distance of the --watermark or --overlay before it from the edges [default: 10]",
    ),
    (
        "spacing",
        "PX|%",
        Role::Field(&["watermark"]),
        "Distance between the marks of a tile [default: half of the mark's width; across its rows at most twice its height]",
    ),
    ("angle", "DEGREES", Role::Field(&["watermark"]), "Turn the --watermark or --overlay before it clockwise"),
    (
        "color",
        "COLOR",
        Role::Field(&["watermark", "trim"]),
        "Colour of the --watermark before it, as CSS writes it or r,g,b[,a]: orange, #f80, #ff880080 [default: #ffffff80]; or of the border \
         that the --trim before it cuts away [default: what most corners share]",
    ),
    ("opacity", "0…1", Role::Field(&["watermark"]), "Opacity of the --watermark or --overlay before it [default: 1]"),
    (
        "font",
        "NAME",
        Role::Field(&["watermark"]),
        "Font of the --watermark before it: a family or a file in the folder watermark.fonts [default: Noto Sans]",
    ),
    ("weight", "WEIGHT", Role::Field(&["watermark"]), "Weight of the --watermark before it: regular or bold"),
    (
        "outline",
        "PX[,COLOR]",
        Role::Field(&["watermark"]),
        "Draw a line around the letters of the --watermark before it, black unless said: 2,#000000c0",
    ),
    (
        "shadow",
        "X,Y[,BLUR[,COLOR]]",
        Role::Field(&["watermark"]),
        "Draw a shadow under the --watermark before it, so many pixels to the right and below: 2,2,4,#000000a0",
    ),
    (
        "line-height",
        "EM",
        Role::Field(&["watermark"]),
        "Distance between the lines of the --watermark before it, times its size [default: the font's own]",
    ),
    (
        "align",
        "SIDE",
        Role::Field(&["watermark"]),
        "Where short lines of the --watermark before it stand: left, center, right [default: towards the edge]",
    ),
    ("max-width", "PX|%", Role::Field(&["watermark"]), "Break lines of the --watermark before it that are longer"),
    ("info", "", Role::Plain, "Make no picture but tell of it in JSON: size, EXIF, colours, BlurHash, ThumbHash, …"),
    (
        "colors",
        "N",
        Role::Field(&["info"]),
        "How many dominant colours the --info before it names, 1 to 16 [default: 5]",
    ),
    ("gps", "", Role::Field(&["info"]), "Let the --info before it tell where the picture was taken"),
    ("convert", "FORMAT", Role::Entry, "Write as jpeg, png, webp, avif, gif, tiff, bmp or qoi"),
    ("as-stored", "", Role::Save, "Do not turn pictures upright as their EXIF says"),
    (
        "format",
        "FORMAT",
        Role::Save,
        "Write every output as jpeg, png, webp, avif, gif, tiff, bmp or qoi [default: as the source]",
    ),
    (
        "quality",
        "1…100|auto",
        Role::Save,
        "Quality of JPEG, WebP (82 where unset) and AVIF (65) outputs, or the colours of PNG and GIF ones; auto: the \
         lowest that looks the same",
    ),
    ("max-bytes", "N", Role::Save, "Lower the quality until each output has at most N bytes"),
    ("lossless", "", Role::Save, "Keep every pixel in WebP outputs; below --quality 100, nearly"),
    ("progressive", "", Role::Save, "Write JPEGs that appear whole at once, and sharpen"),
    ("still", "", Role::Save, "Make pictures of an animation's first frame"),
    ("effort", "1…10", Role::Save, "From quick to small [default: 3]"),
    (
        "subsampling",
        "4:2:0",
        Role::Save,
        "Of JPEG outputs: 4:2:0, 4:2:2 or 4:4:4 [default: 4:2:0, from quality 95 4:4:4]",
    ),
    (
        "keep",
        "LIST",
        Role::Save,
        "What of the metadata stays, where the format has a place: icc, exif, copyright, or several as icc,copyright",
    ),
    (
        PRESET,
        "NAME",
        Role::Whole,
        "The operations that have this name under [presets] in the settings: in those of the server, where one does them",
    ),
    (JSON, "JSON|@FILE", Role::Whole, "The operations as JSON, as the HTTP API takes them, or @FILE to read them from"),
    (
        TUTORIAL,
        "",
        Role::Whole,
        "The three that the HTTP API does where a request names none: 800×600, a thumbnail in 150×150, the watermark \
         \"MySite\"",
    ),
];

pub(super) const PRESET: &str = "preset";
pub(super) const TUTORIAL: &str = "tutorial";
const JSON: &str = "operations";
