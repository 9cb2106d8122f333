// CFaultyDisk: a disk for SQLite that loses what was not synced when the power fails.
//
// It is a SQLite VFS around the system's VFS. Written bytes wait in memory until the file is synced: reads see them,
// but they are not in the real file. When the power fails, each waiting write arrives completely, in part (some of its
// 512-byte sectors) or not at all, and the order of the writes is arbitrary. From then on every call fails, as for a
// process that has ended. The test then opens the real files with the system's VFS, as the next process would. For
// tests; one disk at a time, one thread.

#ifndef CFAULTYDISK_H
#define CFAULTYDISK_H

#include <stdint.h>

/// Registers the VFS under the name "faulty", not as the default, and resets the disk. The power fails at the operation
/// (write, truncate, sync) with the number `fails_at`, counted from now; 0 is never. Returns an SQLite code.
int ttrl_faulty_disk(uint64_t seed, int64_t fails_at);

/// Operations since `ttrl_faulty_disk`.
int64_t ttrl_faulty_disk_operations(void);

/// Whether the power has failed.
int ttrl_faulty_disk_failed(void);

/// Makes syncs lie: they report success and write nothing. For the test that tests the test.
void ttrl_faulty_disk_lies(void);

#endif
