//! The cheapest perfect matching: the Hungarian method with potentials (Kuhn 1955; shortest augmenting paths, O(n^3)).

/// Cost of a pair that must not be matched. Sums of a million of them do not overflow.
pub(super) const FORBIDDEN: i64 = 1 << 40;

/// Column of each row of the square matrix `cost(row, column)` in a perfect matching of the least sum.
pub(super) fn cheapest(size: usize, cost: impl Fn(usize, usize) -> i64) -> Vec<usize> {
    // Row and column 0 are the start of every path; real ones count from 1.
    let (mut of_row, mut of_column) = (vec![0i64; size + 1], vec![0i64; size + 1]);
    let mut row_at = vec![0usize; size + 1];
    for row in 1..=size {
        row_at[0] = row;
        let mut at = 0;
        let mut slack = vec![i64::MAX; size + 1];
        let mut came_from = vec![0usize; size + 1];
        let mut seen = vec![false; size + 1];
        loop {
            seen[at] = true;
            let here = row_at[at];
            let (mut step, mut next) = (i64::MAX, 0);
            for column in (1..=size).filter(|c| !seen[*c]) {
                let reduced = cost(here - 1, column - 1) - of_row[here] - of_column[column];
                if reduced < slack[column] {
                    (slack[column], came_from[column]) = (reduced, at);
                }
                if slack[column] < step {
                    (step, next) = (slack[column], column);
                }
            }
            for column in 0..=size {
                if seen[column] {
                    of_row[row_at[column]] += step;
                    of_column[column] -= step;
                } else {
                    slack[column] = slack[column].saturating_sub(step);
                }
            }
            at = next;
            if row_at[at] == 0 {
                break;
            }
        }
        // Along the path every row moves to the next column.
        while at != 0 {
            row_at[at] = row_at[came_from[at]];
            at = came_from[at];
        }
    }
    let mut columns = vec![0; size];
    for column in 1..=size {
        columns[row_at[column] - 1] = column - 1;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    /// Least sum over all permutations.
    fn brute_force(cost: &[Vec<i64>], row: usize, free: &mut Vec<usize>) -> i64 {
        if row == cost.len() {
            return 0;
        }
        (0..free.len())
            .map(|i| {
                let column = free.swap_remove(i);
                let sum = cost[row][column] + brute_force(cost, row + 1, free);
                free.push(column);
                let last = free.len() - 1;
                free.swap(i, last);
                sum
            })
            .min()
            .expect("a column for every row")
    }

    #[test]
    fn no_permutation_is_cheaper() {
        for case in 0..300 {
            let size = 1 + case as usize % 6;
            let draw = CounterStream::new(7, case);
            let entry = |i: usize| match draw.bits(i as u64) % 23 {
                0 => FORBIDDEN,
                n => n as i64,
            };
            let cost: Vec<Vec<i64>> = (0..size).map(|r| (0..size).map(|c| entry(r * size + c)).collect()).collect();
            let columns = cheapest(size, |r, c| cost[r][c]);
            let mut distinct = columns.clone();
            distinct.sort_unstable();
            assert_eq!(distinct, (0..size).collect::<Vec<_>>());
            let sum: i64 = columns.iter().enumerate().map(|(r, c)| cost[r][*c]).sum();
            assert_eq!(sum, brute_force(&cost, 0, &mut (0..size).collect()), "{cost:?}");
        }
    }
}
