//! The manifold in two dimensions: principal components, and t-SNE.

use dubito_stats::classify::{Components, Matrix};

use crate::ReportError;

/// t-SNE's usual perplexity (neighbours that count).
const PERPLEXITY: f64 = 30.0;
/// How coarsely distant points are taken together.
const THETA: f64 = 0.5;
/// Steps of t-SNE.
const STEPS: usize = 1000;

/// Points in two dimensions, and the share of the variance along each.
pub(crate) type Plane = (Vec<[f64; 2]>, [f64; 2]);

/// The first two principal components of standardised rows, and the share of the variance along each. `None` where there
/// are fewer than two columns or three rows.
pub(crate) fn principal(z: &Matrix) -> Result<Option<Plane>, ReportError> {
    if z.columns() < 2 || z.rows() < 3 {
        return Ok(None);
    }
    let place = |source| ReportError::Stats { place: "principal components".into(), source };
    let components = Components::of(z).map_err(place)?;
    let points = components.project(z, 2).into_iter().map(|p| [p[0], p[1]]).collect();
    Ok(Some((points, [components.explained(0), components.explained(1)])))
}

/// t-SNE (van der Maaten and Hinton, JMLR 9, 2008; by Barnes-Hut's approximation, JMLR 15, 2014), begun from the principal components (Kobak and Berens, "The Art
/// of Using t-SNE for Single-cell Transcriptomics", Nature Communications 10, 2019), so that nothing is drawn at random and
/// the large distances mean something. One thread, so that sums are taken in one order. `None` where there are too few rows.
pub(crate) fn neighbourhoods(z: &Matrix, principal: &[[f64; 2]]) -> Option<Vec<[f64; 2]>> {
    let count = z.rows();
    // The perplexity must be below a third of the rows.
    let perplexity = PERPLEXITY.min((count as f64 - 1.0) / 3.0 - 0.5);
    if perplexity < 2.0 {
        return None;
    }
    let spread = (principal.iter().map(|p| p[0] * p[0]).sum::<f64>() / count as f64).sqrt();
    let start: Vec<f64> = principal.iter().flatten().map(|v| 1e-4 * v / spread.max(1e-12)).collect();
    let rows: Vec<&[f64]> = (0..count).map(|i| z.row(i)).collect();
    let distance = |a: &&[f64], b: &&[f64]| a.iter().zip(*b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let points = pool.install(|| {
        let mut tsne = bhtsne::tSNE::<f64, &[f64], 2>::new(&rows);
        tsne.perplexity(perplexity).epochs(STEPS).initial_embedding(start).barnes_hut(THETA, distance);
        tsne.embedding()
    });
    Some(points.chunks_exact(2).map(|p| [p[0], p[1]]).collect())
}
