//! Who stands where, over many cells: a cell is one trace at one capacity.

/// One cell. `scores[i]` is what contender i reached there, in percent; `None`
/// if it did not take part.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Of the trace and the capacity.
    pub name: String,
    /// By contender.
    pub scores: Vec<Option<f64>>,
    /// Whether others are compared with it: not with one that held more than
    /// it was told to.
    pub is_fair: Vec<bool>,
}

/// One contender over all cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Cells that it took part in.
    pub cells: usize,
    /// Of its scores.
    pub mean: f64,
    /// By how much the best of all others was better, in points: the mean.
    /// Below 0, it was the best itself.
    pub gap: f64,
    /// The same, where it was largest, and the name of that cell.
    pub worst: (f64, String),
    /// Cells where nobody was better.
    pub won: usize,
}

/// The standing of `contender` among `others`; `None` if it took part in no
/// cell together with one of them.
#[must_use]
pub fn standing(cells: &[Cell], contender: usize, others: &[usize]) -> Option<Standing> {
    let gaps: Vec<(f64, f64, &str)> = cells
        .iter()
        .filter_map(|cell| {
            let score = cell.scores[contender]?;
            Some((score, best(cell, contender, others)? - score, cell.name.as_str()))
        })
        .collect();
    let count = gaps.len() as f64;
    let worst = gaps.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Standing {
        cells: gaps.len(),
        mean: gaps.iter().map(|(score, ..)| score).sum::<f64>() / count,
        gap: gaps.iter().map(|(_, gap, _)| gap).sum::<f64>() / count,
        worst: (worst.1, worst.2.to_owned()),
        won: gaps.iter().filter(|(_, gap, _)| *gap <= 0.0).count(),
    })
}

fn best(cell: &Cell, contender: usize, others: &[usize]) -> Option<f64> {
    let fair = others.iter().filter(|&&other| other != contender && cell.is_fair[other]);
    fair.filter_map(|&other| cell.scores[other]).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str, scores: [Option<f64>; 3]) -> Cell {
        Cell { name: name.to_owned(), scores: scores.to_vec(), is_fair: vec![true; 3] }
    }

    #[test]
    fn the_gap_is_to_the_best_of_the_others_in_each_cell() {
        let cells = [
            cell("a", [Some(50.0), Some(40.0), Some(45.0)]),
            cell("b", [Some(20.0), Some(26.0), Some(10.0)]),
        ];
        let first = standing(&cells, 0, &[0, 1, 2]).unwrap();
        let worst = (6.0, "b".to_owned());
        assert_eq!(first, Standing { cells: 2, mean: 35.0, gap: 0.5, worst, won: 1 });
        assert_eq!(standing(&cells, 2, &[0]).unwrap().gap, 7.5);
    }

    #[test]
    fn whoever_held_too_much_is_nobodys_measure() {
        let mut unfair = cell("a", [Some(50.0), Some(90.0), Some(45.0)]);
        unfair.is_fair[1] = false;
        let cells = [unfair];
        assert_eq!(standing(&cells, 0, &[0, 1, 2]).unwrap().gap, -5.0);
        assert_eq!(standing(&cells, 1, &[0, 1, 2]).unwrap().mean, 90.0);
    }

    #[test]
    fn cells_without_the_contender_do_not_count() {
        let cells = [cell("a", [None, Some(1.0), None]), cell("b", [Some(2.0), Some(2.0), None])];
        let first = standing(&cells, 0, &[0, 1, 2]).unwrap();
        assert_eq!((first.cells, first.won, first.mean), (1, 1, 2.0));
        assert_eq!(standing(&cells, 2, &[0, 1, 2]), None);
    }
}
