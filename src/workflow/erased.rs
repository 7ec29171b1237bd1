//! A workflow whose types nobody but itself knows: what the pipeline, and so the engine, is built for.
//!
//! They are compiled once instead of once per workflow, of which there are a dozen. The price is a box per row, which is nothing
//! beside the statements that claim and settle it.

use std::any::Any;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;

use super::{Done, ItemId, Progress, Settled, Terms, Workflow, WorkflowError};

/// What one row is worked from.
pub type Input = Box<dyn Any + Send>;
/// What working it yields.
pub type Output = Box<dyn Any + Send + Sync>;

/// As [`Workflow`], method by method, for one whose name and stage are known when it runs. What is not told here is told there.
pub trait Erased: Send + Sync {
    /// As [`Workflow::ready`].
    ///
    /// # Errors
    /// What is missing and where to set it.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// As [`Workflow::wanted`].
    fn wanted(&self, _limit: usize) -> BoxFuture<'_, Vec<ItemId>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// As [`Workflow::unclaimed`].
    fn unclaimed<'a>(
        &'a self,
        _conn: &'a mut AsyncPgConnection,
        _ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// As [`Workflow::committed`].
    fn committed<'a>(&'a self, _settled: &'a [Settled<'a, Output>]) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// As [`Workflow::load`].
    fn load<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<Vec<(ItemId, Input)>>>;

    /// As [`Workflow::run_with`].
    fn run<'a>(
        &'a self,
        input: Input,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Done<Output>, WorkflowError>>;

    /// As [`Workflow::store`].
    fn store<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        outputs: &'a [(ItemId, &'a Output)],
    ) -> BoxFuture<'a, QueryResult<()>>;

    /// As [`Workflow::terms`].
    fn terms(&self, _output: &Output) -> Option<Terms> {
        None
    }
}

fn boxed<O: Send + Sync + 'static>(output: O) -> Output {
    Box::new(output)
}

/// What a workflow yielded, as it yielded it.
fn own<W: Workflow>(output: &Output) -> &W::Output {
    (**output)
        .downcast_ref()
        .unwrap_or_else(|| unreachable!("{} is given what it yielded itself", W::NAME))
}

impl<W: Workflow> Erased for W {
    fn ready(&self) -> Result<(), String> {
        Workflow::ready(self)
    }

    fn wanted(&self, limit: usize) -> BoxFuture<'_, Vec<ItemId>> {
        Box::pin(Workflow::wanted(self, limit))
    }

    fn unclaimed<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<()>> {
        Box::pin(Workflow::unclaimed(self, conn, ids))
    }

    fn committed<'a>(&'a self, settled: &'a [Settled<'a, Output>]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let settled: Vec<Settled<'_, W::Output>> = settled
                .iter()
                .map(|settled| Settled {
                    item: settled.item,
                    attempt: settled.attempt,
                    ended: settled.ended,
                    output: settled.output.map(own::<W>),
                })
                .collect();
            Workflow::committed(self, &settled).await;
        })
    }

    fn load<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<Vec<(ItemId, Input)>>> {
        Box::pin(async move {
            let rows = Workflow::load(self, conn, ids).await?;
            Ok(rows
                .into_iter()
                .map(|(id, input)| (id, Box::new(input) as Input))
                .collect())
        })
    }

    fn run<'a>(
        &'a self,
        input: Input,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Done<Output>, WorkflowError>> {
        let input: W::Input = *input
            .downcast()
            .unwrap_or_else(|_| unreachable!("{} is given what it loaded itself", W::NAME));
        Box::pin(async move {
            Ok(match Workflow::run_with(self, input, progress).await? {
                Done::Completed(output) => Done::Completed(boxed(output)),
                Done::Filtered(reason, output) => Done::Filtered(reason, output.map(boxed)),
                Done::Failed(error, output) => Done::Failed(error, boxed(output)),
            })
        })
    }

    fn store<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        outputs: &'a [(ItemId, &'a Output)],
    ) -> BoxFuture<'a, QueryResult<()>> {
        Box::pin(async move {
            let outputs: Vec<(ItemId, &W::Output)> = outputs
                .iter()
                .map(|&(id, output)| (id, own::<W>(output)))
                .collect();
            Workflow::store(self, conn, &outputs).await
        })
    }

    fn terms(&self, output: &Output) -> Option<Terms> {
        W::terms(own::<W>(output))
    }
}
