//! Moments that a test can hold or break.
//!
//! In: a moment's name. Out: nothing, or the error of a lost connection. In a build without the
//! feature `failpoints` a moment is nothing at all. With it, the test that configured
//! the moment through the `fail` crate decides: hold it (on a blocking thread, so that the
//! runtime goes on; a dropped future leaves it), `return` (the error), or `panic`.

use crate::store::StoreError;

/// The moment `name` has come.
#[cfg(feature = "failpoints")]
pub(crate) async fn hit(name: &'static str) -> Result<(), StoreError> {
    let moment = move || {
        fail::fail_point!(name, |_| Err(StoreError::Transient {
            sql_state: String::from("08006"),
            message: format!("fail point {name}"),
        }));
        Ok(())
    };
    match tokio::task::spawn_blocking(moment).await {
        Ok(passed) => passed,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The moment `name` has come, and nobody cares.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn hit(_name: &'static str) -> std::future::Ready<Result<(), StoreError>> {
    std::future::ready(Ok(()))
}
