//! What the service's process tells the C library's allocator.

use rowlift::allocator;

use crate::faults::migrated;
use crate::support::process::ServerProcess;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_tells_its_allocator_to_give_buffers_back() {
    let server = ServerProcess::start(&migrated().await, &[]).await;
    for (name, value) in allocator::TUNABLES {
        assert_eq!(server.variable(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_tells_the_allocator_stays() {
    let settings = [("MALLOC_ARENA_MAX", "2")];
    let server = ServerProcess::start(&migrated().await, &settings).await;
    assert_eq!(server.variable("MALLOC_MMAP_THRESHOLD_"), None);
    assert_eq!(server.variable("MALLOC_ARENA_MAX").as_deref(), Some("2"));
}
