//! Finds the rows at fault in a set that a statement was refused for.
//!
//! Whoever runs a statement over rows asks for the next part, beginning with all of them, and says of each that is refused with
//! which error; it is halved then, until a row stands alone. In the ordinary case that is the one statement it would have been
//! anyway.

use diesel::result::Error as DieselError;

/// So many rows refused one after the other, and none taken in between, are not at fault themselves.
const LONELY_AT_MOST: usize = 20;

/// The parts of a set that are still to be done.
#[derive(Debug)]
pub struct Halves<'a, T> {
    /// The next one last.
    pending: Vec<&'a [T]>,
    /// Rows refused since one was last taken.
    lonely: usize,
    /// Whether the part given last was refused.
    was_refused: bool,
    /// So many rows may be refused one after the other.
    lonely_at_most: usize,
}

impl<'a, T> Halves<'a, T> {
    /// Of these, as one part to begin with.
    #[must_use]
    pub fn of(all: &'a [T]) -> Self {
        Self {
            pending: if all.is_empty() { vec![] } else { vec![all] },
            lonely: 0,
            was_refused: false,
            lonely_at_most: LONELY_AT_MOST,
        }
    }

    /// However many rows are refused: each is told to somebody who waits for that.
    #[must_use]
    pub fn however_many(self) -> Self {
        Self {
            lonely_at_most: usize::MAX,
            ..self
        }
    }

    /// The next part, from the front of the set to its end. The one before is done, unless it was said to be refused.
    pub fn next_part(&mut self) -> Option<&'a [T]> {
        let part = self.pending.pop()?;
        if !std::mem::take(&mut self.was_refused) {
            self.lonely = 0;
        }
        Some(part)
    }

    /// This part was refused, and nothing of it is done: it is halved, or the one row at fault is found, and told with the error.
    ///
    /// # Errors
    /// The error, when no row can have brought it about, or so many rows have that it is hardly theirs.
    pub fn refused(
        &mut self,
        part: &'a [T],
        error: DieselError,
    ) -> Result<Option<(&'a T, DieselError)>, DieselError> {
        if !super::is_of_a_row(&error) {
            return Err(error);
        }
        self.was_refused = true;
        let [alone] = part else {
            let (left, right) = part.split_at(part.len() / 2);
            self.pending.extend([right, left]);
            return Ok(None);
        };
        self.lonely += 1;
        if self.lonely > self.lonely_at_most {
            return Err(error);
        }
        Ok(Some((alone, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> DieselError {
        DieselError::DeserializationError("no time".into())
    }

    /// Goes over numbers, of which these are refused: those taken, those found, and how many statements it took.
    fn go(
        all: &[i32],
        bad: impl Fn(i32) -> bool,
    ) -> (Vec<i32>, Result<Vec<i32>, DieselError>, usize) {
        let (mut taken, mut found, mut asked) = (vec![], vec![], 0);
        let mut halves = Halves::of(all);
        while let Some(part) = halves.next_part() {
            asked += 1;
            if part.iter().any(|one| bad(*one)) {
                match halves.refused(part, data()) {
                    Ok(None) => {}
                    Ok(Some((one, _))) => found.push(*one),
                    Err(error) => return (taken, Err(error), asked),
                }
            } else {
                taken.extend(part);
            }
        }
        (taken, Ok(found), asked)
    }

    #[test]
    fn good_rows_are_one_statement_and_bad_ones_are_found() {
        let all: Vec<i32> = (0..1_000).collect();
        let (taken, found, asked) = go(&all, |_| false);
        assert_eq!((taken.len(), found.unwrap(), asked), (1_000, vec![], 1));
        let (taken, found, asked) = go(&all, |one| [0, 517, 518, 999].contains(&one));
        assert_eq!(found.unwrap(), [0, 517, 518, 999]);
        assert_eq!(taken.len(), 996);
        assert!(taken.is_sorted(), "front to end");
        assert!(asked < 90, "{asked}");
        let (taken, found, asked) = go(&[], |_| true);
        assert_eq!((taken, found.unwrap(), asked), (vec![], vec![], 0));
        assert_eq!(go(&[7], |_| true).1.unwrap(), [7]);
    }

    #[test]
    fn what_refuses_every_row_is_no_row_s_fault() {
        let all: Vec<i32> = (0..1_000).collect();
        let (taken, found, asked) = go(&all, |_| true);
        assert!(taken.is_empty() && found.is_err());
        assert!(asked < 70, "{asked}");
        // Every other one is no reason to stop.
        assert_eq!(go(&all, |one| one % 2 == 0).1.unwrap().len(), 500);
    }

    #[test]
    fn an_outage_stops_it() {
        let mut halves = Halves::of(&[1, 2]);
        let part = halves.next_part().unwrap();
        let error = halves.refused(part, DieselError::BrokenTransactionManager);
        assert!(matches!(error, Err(DieselError::BrokenTransactionManager)));
    }
}
