use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::cause_of;
use crate::decode::error::DeathCause;

#[test]
fn a_death_is_explained_by_signal_and_last_words() {
    const SECONDS: u64 = 60;
    const BYTES: u64 = 1 << 30;
    let cpu = DeathCause::CpuLimit { seconds: SECONDS };
    let memory = DeathCause::MemoryLimit { bytes: BYTES };
    // The raw status of a signal is its number, of an exit the code in the second byte.
    let cases = [
        (24, "", Some(cpu)),
        (
            6,
            "memory allocation of 2400000000000 bytes failed\n",
            Some(memory),
        ),
        (
            6,
            "\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow",
            None,
        ),
        (6, "", Some(DeathCause::Signal { number: 6 })),
        (11, "", None),
        (7, "", None),
        (9, "", Some(DeathCause::Signal { number: 9 })),
        (0, "", Some(DeathCause::Exit { code: 0 })),
        (3 << 8, "", Some(DeathCause::Exit { code: 3 })),
    ];
    for (status, stderr, wanted) in cases {
        let cause = cause_of(ExitStatus::from_raw(status), stderr, SECONDS, BYTES);
        assert_eq!(cause, wanted, "{status} {stderr}");
    }
}
