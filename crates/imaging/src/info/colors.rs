//! Average and dominant colours.
//!
//! Dominant colours are k-means clusters in Oklab (Björn Ottosson, 2020), where distances are what the eye sees. They are
//! seeded without chance, so that a picture always has the same ones.

use serde::{Deserialize, Serialize};

/// Values of a channel that are distinguished before clustering.
const LEVELS: usize = 16;
const ROUNDS: usize = 12;
/// The least alpha, of 255, of a pixel that counts as coloured.
const FAINTEST: u8 = 8;
/// Clusters nearer than this look like one colour.
const ALIKE: f32 = 0.05;

/// A dominant colour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shade {
    /// `#rrggbb`.
    pub color: String,
    /// Of the visible picture, 0 to 1.
    pub share: f64,
}

/// A group of pixels that are nearly alike.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    /// Of the pixels' alpha.
    weight: f32,
    rgb: [f32; 3],
    lab: [f32; 3],
}

pub(super) fn average(pixels: &[[u8; 4]]) -> String {
    let mut sums = [0u64; 3];
    let mut weight = 0;
    for [r, g, b, a] in pixels.iter().map(|pixel| pixel.map(u64::from)) {
        weight += a;
        for (sum, value) in sums.iter_mut().zip([r, g, b]) {
            *sum += value * a;
        }
    }
    hex(sums.map(|sum| (sum + weight / 2).checked_div(weight).unwrap_or(0) as u8))
}

/// At most `count` colours, the largest share first; empty for a transparent picture.
pub(super) fn dominant(pixels: &[[u8; 4]], count: usize) -> Vec<Shade> {
    let bins = bins(pixels);
    let mut centres = seeds(&bins, count);
    for _ in 0..ROUNDS {
        let clusters = clusters(&bins, &centres);
        centres = clusters.iter().map(|cluster| cluster.lab).collect();
    }
    let mut clusters = merged(clusters(&bins, &centres));
    clusters.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let whole: f32 = clusters.iter().map(|cluster| cluster.weight).sum();
    let share = |weight: f32| (f64::from(weight / whole) * 10_000.0).round() / 10_000.0;
    clusters
        .into_iter()
        .map(|cluster| Shade { color: hex(cluster.rgb.map(|v| v.round() as u8)), share: share(cluster.weight) })
        .filter(|shade| shade.share > 0.0)
        .collect()
}

fn bins(pixels: &[[u8; 4]]) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); LEVELS * LEVELS * LEVELS];
    for &[r, g, b, a] in pixels.iter().filter(|pixel| pixel[3] >= FAINTEST) {
        let at = [r, g, b].iter().fold(0, |at, &v| at * LEVELS + usize::from(v) * LEVELS / 256);
        let weight = f32::from(a) / 255.0;
        bins[at].weight += weight;
        for (sum, value) in bins[at].rgb.iter_mut().zip([r, g, b]) {
            *sum += f32::from(value) * weight;
        }
    }
    bins.retain(|bin| bin.weight > 0.0);
    for bin in &mut bins {
        bin.rgb = bin.rgb.map(|sum| sum / bin.weight);
        bin.lab = oklab(bin.rgb);
    }
    bins
}

/// The fullest bin, then again and again the one that is both full and far from all so far.
fn seeds(bins: &[Bin], count: usize) -> Vec<[f32; 3]> {
    let mut seeds: Vec<[f32; 3]> = Vec::new();
    while seeds.len() < count.min(bins.len()) {
        let worth = |bin: &Bin| {
            let nearest = seeds.iter().map(|&seed| distance(seed, bin.lab)).fold(1.0, f32::min);
            bin.weight * nearest
        };
        let Some(best) = bins.iter().max_by(|a, b| worth(a).total_cmp(&worth(b))) else { break };
        if worth(best) == 0.0 {
            break;
        }
        seeds.push(best.lab);
    }
    seeds
}

fn clusters(bins: &[Bin], centres: &[[f32; 3]]) -> Vec<Bin> {
    let mut clusters = vec![Bin::default(); centres.len()];
    for bin in bins {
        let near = |centre: &&[f32; 3]| distance(**centre, bin.lab);
        let nearest = centres.iter().enumerate().min_by(|(_, a), (_, b)| near(a).total_cmp(&near(b)));
        if let Some((at, _)) = nearest {
            clusters[at] = joined(&clusters[at], bin);
        }
    }
    clusters.retain(|cluster| cluster.weight > 0.0);
    clusters
}

fn merged(clusters: Vec<Bin>) -> Vec<Bin> {
    let mut merged: Vec<Bin> = Vec::new();
    for cluster in clusters {
        match merged.iter_mut().find(|other| distance(other.lab, cluster.lab) < ALIKE * ALIKE) {
            Some(other) => *other = joined(other, &cluster),
            None => merged.push(cluster),
        }
    }
    merged
}

fn joined(a: &Bin, b: &Bin) -> Bin {
    let weight = a.weight + b.weight;
    let mean = |a_part: [f32; 3], b_part: [f32; 3]| {
        std::array::from_fn(|i| (a_part[i] * a.weight + b_part[i] * b.weight) / weight)
    };
    Bin { weight, rgb: mean(a.rgb, b.rgb), lab: mean(a.lab, b.lab) }
}

/// Squared.
fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn oklab(rgb: [f32; 3]) -> [f32; 3] {
    let [red, green, blue] = rgb.map(|v| {
        let v = v / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let l = (0.412_221_46 * red + 0.536_332_55 * green + 0.051_445_995 * blue).cbrt();
    let m = (0.211_903_5 * red + 0.680_699_5 * green + 0.107_396_96 * blue).cbrt();
    let s = (0.088_302_46 * red + 0.281_718_85 * green + 0.629_978_7 * blue).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dominant_colours_have_their_shares() {
        let mut pixels = vec![[200, 10, 10, 255]; 600];
        pixels.extend([[10, 10, 200, 255]; 300]);
        pixels.extend([[250, 250, 250, 255]; 100]);
        // What cannot be seen does not count.
        pixels.extend([[0, 255, 0, 0]; 1000]);
        let colors = dominant(&pixels, 5);
        let told: Vec<(&str, f64)> = colors.iter().map(|shade| (shade.color.as_str(), shade.share)).collect();
        assert_eq!(told, [("#c80a0a", 0.6), ("#0a0ac8", 0.3), ("#fafafa", 0.1)]);
    }

    #[test]
    fn what_can_hardly_be_seen_is_no_colour() {
        let mut pixels = vec![[200, 10, 10, 255]; 60_000];
        pixels.extend(vec![[0, 255, 0, 7]; 60_000]);
        pixels.extend([[0, 0, 255, 255]; 2]);
        let colors = dominant(&pixels, 5);
        assert_eq!(colors.iter().map(|shade| shade.color.as_str()).collect::<Vec<_>>(), ["#c80a0a"]);
    }

    #[test]
    fn average_weighs_by_alpha() {
        assert_eq!(average(&[[100, 0, 0, 255], [0, 0, 0, 255], [255; 4].map(|_| 0)]), "#320000");
        assert_eq!(average(&[[9, 9, 9, 0]]), "#000000");
        assert!(dominant(&[[9, 9, 9, 0]], 5).is_empty());
    }
}
