// CFaultyDisk: a disk for SQLite that forgets what was not synced when the power fails.
//
// A SQLite VFS around the system's own. What is written waits in memory until the file is synced; reads see it, the real
// file does not. When the power fails, of each write that waits an arbitrary part of its 512-byte sectors arrives, in an
// arbitrary order of writes, or none; from then on every call fails, as for a process that is gone. The test then opens
// the real files with the system's VFS, as the next process would. For tests; one disk at a time, one thread.

#ifndef CFAULTYDISK_H
#define CFAULTYDISK_H

#include <stdint.h>

/// Registers the VFS under the name "faulty", not as the default, and makes the disk whole again.
/// The power fails by itself at the operation (write, truncate, sync) of that number from now on; 0 is never.
/// Returns an SQLite code.
int ttrl_faulty_disk(uint64_t seed, int64_t fails_at);

/// Operations since `ttrl_faulty_disk`.
int64_t ttrl_faulty_disk_operations(void);

/// Whether the power has failed.
int ttrl_faulty_disk_failed(void);

/// Makes syncs lie: they say that all is written, and write nothing. For the test of the test.
void ttrl_faulty_disk_lies(void);

#endif
