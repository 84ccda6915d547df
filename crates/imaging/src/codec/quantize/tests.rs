//! Palettes and what is drawn with them.

use super::*;

fn gradient(width: usize, height: usize) -> Vec<Pixel> {
    (0..width * height)
        .map(|i| {
            let (x, y) = (i % width * 255 / width, i / width * 255 / height);
            [x as u8, y as u8, (255 - x) as u8, 255]
        })
        .collect()
}

#[test]
fn few_colours_are_kept_as_they_are() {
    let pixels: Vec<Pixel> = (0..=255).map(|i| [i, i / 2, 7, 255]).collect();
    let census = Census::of(pixels.iter().copied());
    let mut palette = Palette::of(&census, 256);
    assert!(palette.is_exact && census.distinct() == Some(256) && census.is_within(&palette));
    let indices = palette.map(16, &pixels, |_| true, 0, || Ok(())).unwrap();
    let drawn: Vec<Pixel> = indices.iter().map(|&index| palette.colors[usize::from(index)]).collect();
    assert_eq!(drawn, pixels);
}

#[test]
fn many_colours_are_met_closely() {
    let pixels = gradient(128, 128);
    let census = Census::of(pixels.iter().copied());
    let mut palette = Palette::of(&census, 255);
    assert!(!palette.is_exact && palette.colors.len() > 200 && census.distinct().is_none());
    assert!(census.misfit(&palette).mean < 140.0, "{}", census.misfit(&palette).mean);
    let indices = palette.map(128, &pixels, |_| true, 0, || Ok(())).unwrap();
    // Diffused errors cancel out: the means of blocks of 8 by 8 are the picture's.
    for (left, top) in [(8, 8), (64, 40), (100, 100)] {
        for (c, channel) in ["red", "green", "blue"].into_iter().enumerate() {
            let mean = |value: &dyn Fn(usize) -> u8| {
                let block = (top..top + 8).flat_map(|y| (left..left + 8).map(move |x| y * 128 + x));
                block.map(|at| f32::from(value(at))).sum::<f32>() / 64.0
            };
            let wanted = mean(&|at| pixels[at][c]);
            let got = mean(&|at| palette.colors[usize::from(indices[at])][c]);
            assert!((wanted - got).abs() < 4.0, "{channel} at {left},{top}: {got}, wanted {wanted}");
        }
    }
}

#[test]
fn only_what_is_drawn_is_touched() {
    let pixels = gradient(32, 32);
    let mut palette = Palette::of(&Census::of(pixels.iter().copied()), 16);
    let indices = palette.map(32, &pixels, |at| at >= 512, 99, || Ok(())).unwrap();
    assert!(indices[..512].iter().all(|&index| index == 99));
    assert!(indices[512..].iter().all(|&index| index < 16));
}

#[test]
fn what_hardly_shows_shares_its_colour() {
    // Faint pixels of every hue beside opaque greys: the palette goes to what is seen.
    let faint = gradient(64, 64).into_iter().map(|[r, g, b, _]| [r, g, b, 3]);
    let grey = (0..4096).map(|i| [(i / 16) as u8; 3]).map(|[r, g, b]| [r, g, b, 255]);
    let palette = Palette::of(&Census::of(faint.chain(grey)), 64);
    let opaque = palette.colors.iter().filter(|color| color[3] > 200).count();
    assert!(opaque > 56, "{opaque} of {}", palette.colors.len());
}

#[test]
fn palette_takes_in_what_it_has_room_for() {
    let census = |values: std::ops::Range<u8>| Census::of(values.map(|v| [v, 0, 0, 255]));
    let mut palette = Palette::of(&census(0..10), 16);
    assert!(palette.take_in(&census(5..16), 16) && palette.colors.len() == 16);
    assert!(palette.colors.iter().enumerate().all(|(i, color)| usize::from(color[0]) == i));
    assert!(!palette.take_in(&census(15..17), 16) && palette.colors.len() == 16);
}

#[test]
fn nothing_to_count_is_no_trouble() {
    let mut palette = Palette::of(&Census::of(std::iter::empty()), 255);
    let indices = palette.map(4, &[[0; 4]; 8], |_| false, 0, || Ok(())).unwrap();
    assert!(palette.colors.is_empty() && indices == [0; 8]);
}

/// The mean squared error of what shows, over black and over white.
fn shown_error(pixels: &[Pixel], palette: &Palette, indices: &[u8]) -> f64 {
    let over = |[r, g, b, a]: Pixel, ground: f64| {
        [r, g, b].map(|value| ground + (f64::from(value) - ground) * f64::from(a) / 255.0)
    };
    let squares = pixels.iter().zip(indices).flat_map(|(&pixel, &index)| {
        let got = palette.colors[usize::from(index)];
        [0.0, 255.0].map(|ground| {
            let apart = over(pixel, ground).into_iter().zip(over(got, ground));
            apart.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 3.0
        })
    });
    squares.sum::<f64>() / (2 * pixels.len()) as f64
}

fn drawn(pixels: &[Pixel], width: usize) -> (Palette, f64) {
    let mut palette = Palette::of(&Census::of(pixels.iter().copied()), 256);
    let indices = palette.map(width, pixels, |_| true, 0, || Ok(())).unwrap();
    let error = shown_error(pixels, &palette, &indices);
    (palette, error)
}

#[test]
fn soft_alpha_gets_all_the_colours_there_are() {
    let glow: Vec<Pixel> = (0..300 * 200)
        .map(|at| {
            let (x, y) = ((at % 300) as f32, (at / 300) as f32);
            let alpha = 230.0 - (x - 150.0).hypot(y - 100.0) * 1.7;
            [255, 255 - (x / 4.0) as u8, 200, alpha.max(0.0) as u8]
        })
        .collect();
    let (palette, error) = drawn(&glow, 300);
    assert!(palette.colors.len() > 240, "{}", palette.colors.len());
    // 40 dB; with cells of 16 levels there were 45 colours and 32 dB.
    assert!(error < 6.5, "{error}");
}

#[test]
fn narrow_gradients_get_all_the_colours_there_are() {
    let dark: Vec<Pixel> = (0..600 * 300)
        .map(|at| {
            let (x, y) = (at % 600, at / 600);
            [(5 + x * 20 / 600) as u8, (8 + y * 18 / 300) as u8, (10 + x * 12 / 600 + y * 10 / 300) as u8, 255]
        })
        .collect();
    let (palette, error) = drawn(&dark, 600);
    assert!(palette.colors.len() > 240, "{}", palette.colors.len());
    assert!(error < 1.0, "{error}");
}

#[test]
fn misfit_names_the_worst_that_is_more_than_a_few_pixels() {
    let palette = Palette::of(&Census::of([[9, 9, 9, 255]; 8].into_iter()), 256);
    let with = |count| Census::of([[9, 9, 9, 255]; 900].into_iter().chain([[255, 0, 255, 255]].repeat(count)));
    assert!(with(3).misfit(&palette).worst < 1.0);
    let misfit = with(64).misfit(&palette);
    assert!(misfit.worst > 60_000.0 && misfit.mean < 10_000.0, "{misfit:?}");
}
