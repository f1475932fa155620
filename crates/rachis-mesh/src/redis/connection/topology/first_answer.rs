//! One query to several servers, any of which may be silent.

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{RedisError, RedisResult};
use std::time::Duration;

/// Time without an answer after which the next server is queried as well. A silent server costs this much, and not the
/// whole time limit of a query.
const PATIENCE: Duration = Duration::from_millis(100);

/// The first answer.
pub(super) struct First<T> {
    pub(super) answer: T,
    /// The number of the query that it answers.
    pub(super) number: usize,
    /// How many servers were queried until then.
    pub(super) asked: usize,
}

/// Queries the servers in turn until one answers; queries that are still open then are dropped.
///
/// # Errors
/// The last failure, once every query has failed; `None` without any query.
pub(super) async fn first_answer<T, Question>(
    questions: impl ExactSizeIterator<Item = Question>,
) -> Result<First<T>, Option<RedisError>>
where
    Question: Future<Output = RedisResult<T>>,
{
    let mut questions = questions.enumerate();
    let mut open = FuturesUnordered::new();
    let mut trouble = None;
    let mut asked = 0;
    loop {
        if let Some((number, question)) = questions.next() {
            asked += 1;
            open.push(async move { (number, question.await) });
        }
        let more = questions.len() > 0;
        tokio::select! {
            biased;
            next = open.next() => match next {
                Some((number, Ok(answer))) => return Ok(First { answer, number, asked }),
                Some((_, Err(error))) => trouble = Some(error),
                None => return Err(trouble),
            },
            () = tokio::time::sleep(PATIENCE), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::BoxFuture};
    use tokio::time::Instant;

    type Question = BoxFuture<'static, RedisResult<u32>>;

    fn silent() -> Question {
        std::future::pending().boxed()
    }

    fn refuses(text: &'static str) -> Question {
        std::future::ready(Err(std::io::Error::other(text).into())).boxed()
    }

    fn says(number: u32, after: u64) -> Question {
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            Ok(number)
        }
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_holds_up_nobody_for_long() {
        let begun = Instant::now();
        let first = first_answer([silent(), silent(), refuses("no"), says(3, 5), says(4, 0)].into_iter()).await;
        let Ok(First { answer: 3, number: 3, asked: 4 }) = first else { panic!("it is not the first answer") };
        assert_eq!(begun.elapsed().as_millis(), 205);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_is_heard_all_the_same() {
        let first = first_answer([says(1, 900), says(2, 950), silent()].into_iter()).await;
        assert!(matches!(first, Ok(First { answer: 1, number: 0, asked: 3 })));
    }

    #[tokio::test]
    async fn where_nobody_answers_the_last_failure_is_told() {
        let told = first_answer([refuses("one"), refuses("two")].into_iter()).await.err().flatten().unwrap();
        assert!(told.to_string().contains("two"), "{told}");
        assert!(first_answer(std::iter::empty::<Question>()).await.err().unwrap().is_none());
    }
}
