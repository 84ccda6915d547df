// sharp's side of benches/pictures.py: a line holds a file's path, a tab and a case's name.
const fs = require('node:fs');
const readline = require('node:readline');
const sharp = require(require.resolve('sharp', { paths: [process.env.SHARP_DIR || process.cwd()] }));
sharp.concurrency(1);
sharp.cache(false);
const jpeg = (s) => s.jpeg({ quality: 75, optimiseCoding: false }).toBuffer();
const files = new Map();
const read = (path) => files.get(path) || files.set(path, fs.readFileSync(path)).get(path);
let overlay;
const mark = async () => overlay || (overlay = await sharp({
  text: { text: '<span foreground="white" alpha="50%">MySite</span>', font: 'DejaVu Sans 36', dpi: 72, rgba: true },
}).png().toBuffer({ resolveWithObject: true }));
const marked = async (source, size) => {
  const o = await mark();
  const m = size || await sharp(source).metadata();
  return jpeg(sharp(source).composite([{ input: o.data, left: m.width - o.info.width - 10, top: m.height - o.info.height - 10 }]));
};
const small = (s) => s.resize(800, 600, { fit: 'fill' });
const thumb = (s) => s.resize(150, 150, { fit: 'inside', withoutEnlargement: true });
const cases = {
  main: async (b) => Promise.all([jpeg(small(sharp(b))), jpeg(thumb(sharp(b))), marked(b)]),
  resize: (b) => jpeg(small(sharp(b))),
  thumbnail: (b) => jpeg(thumb(sharp(b))),
  watermark: (b) => marked(b),
  convert: (b) => jpeg(sharp(b)),
  'to png': (b) => small(sharp(b)).png({ compressionLevel: 6 }).toBuffer(),
  'to webp': (b) => small(sharp(b)).webp({ quality: 82, effort: 4 }).toBuffer(),
  'to avif': (b) => small(sharp(b)).avif({ quality: 60 }).toBuffer(),
  'to gif': (b) => small(sharp(b)).gif().toBuffer(),
  'to tiff': (b) => small(sharp(b)).tiff({ compression: 'deflate' }).toBuffer(),
  ...Object.fromEntries(['png', 'webp', 'avif', 'gif', 'tiff'].map((kind) => [`from ${kind}`, (b) => jpeg(small(sharp(b)))])),
  cover: (b) => jpeg(sharp(b).resize(600, 600, { fit: 'cover' })),
  crop: (b) => jpeg(sharp(b).extract({ left: 500, top: 400, width: 1200, height: 1000 })),
  'rotate 90': (b) => jpeg(sharp(b).rotate(90)),
  'rotate 30': (b) => jpeg(sharp(b).rotate(30)),
  flip: (b) => jpeg(sharp(b).flip()),
  flop: (b) => jpeg(sharp(b).flop()),
  blur: (b) => jpeg(sharp(b).blur(4)),
  sharpen: (b) => jpeg(sharp(b).sharpen({ sigma: 1 })),
  brightness: (b) => jpeg(sharp(b).linear(1.3, 0)),
  contrast: (b) => jpeg(sharp(b).linear(1.3, -38)),
  saturation: (b) => jpeg(sharp(b).modulate({ saturation: 1.3 })),
  gamma: (b) => jpeg(sharp(b).gamma(2.2)),
  grayscale: (b) => jpeg(sharp(b).grayscale()),
  invert: (b) => jpeg(sharp(b).negate()),
  pad: (b) => jpeg(sharp(b).extend({ top: 40, bottom: 40, left: 40, right: 40, background: 'white' })),
  trim: (b) => jpeg(sharp(b).trim()),
};
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [path, name] = line.split('\t');
    if (!cases[name]) { console.log('! none'); continue; }
    const source = read(path);
    const started = process.hrtime.bigint();
    try {
      const made = [].concat(await cases[name](source));
      const bytes = made.reduce((sum, b) => sum + b.length, 0);
      console.log(`${Number(process.hrtime.bigint() - started) / 1e6} ${bytes}`);
    } catch (error) { console.log(`! ${error.message.split('\n')[0]}`); }
  }
})();
