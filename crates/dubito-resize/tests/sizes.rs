//! Pictures at another size: values by hand.

use dubito_resize::{FilterType, ResizeAlg, ResizeOptions, grey, rgb};

#[test]
fn each_colour_is_averaged_and_a_part_is_cut_out() {
    let half = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    assert_eq!(grey(&[0, 100, 10, 30], (4, 1), (2, 1), &half), Some(vec![50, 20]));
    assert_eq!(rgb(&[0, 10, 200, 100, 30, 100], (2, 1), (1, 1), &half), Some(vec![50, 20, 150]));
    assert_eq!(grey(&[0, 100, 10, 30], (4, 1), (1, 1), &half.crop(2.0, 0.0, 2.0, 1.0)), Some(vec![20]));
}

#[test]
fn pixels_that_are_missing_and_parts_outside_are_none() {
    let options = ResizeOptions::new();
    assert_eq!(grey(&[1, 2, 3], (2, 2), (1, 1), &options), None);
    assert_eq!(grey(&[1, 2, 3, 4], (2, 2), (1, 1), &options.crop(1.0, 1.0, 2.0, 1.0)), None);
    assert_eq!(rgb(&[], (0, 0), (0, 0), &options), Some(Vec::new()));
}
