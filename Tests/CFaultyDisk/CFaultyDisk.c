#include "CFaultyDisk.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

// One write or truncation that waits for a sync.
typedef struct {
  sqlite3_int64 offset;
  int length;            // of the bytes; -1 is a truncation to `offset`
  unsigned char *bytes;
} operation;

typedef struct faulty_file {
  sqlite3_file base;
  struct faulty_file *next;  // in the list of open files
  operation *waiting;
  int count, room;
  sqlite3_file *real;
} faulty_file;

static struct {
  sqlite3_vfs vfs, *system;
  faulty_file *files;
  uint64_t random;
  int64_t operations, fails_at;
  int failed, lies;
} disk;

static uint32_t random_word(void) {
  // SplitMix64.
  uint64_t z = (disk.random += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static void forget(faulty_file *file) {
  for (int i = 0; i < file->count; ++i) free(file->waiting[i].bytes);
  file->count = 0;
}

static int apply(faulty_file *file, const operation *o) {
  if (o->length < 0) return file->real->pMethods->xTruncate(file->real, o->offset);
  return file->real->pMethods->xWrite(file->real, o->bytes, o->length, o->offset);
}

// Applies some sectors of a write.
static void apply_torn(faulty_file *file, const operation *o) {
  enum { SECTOR = 512 };
  if (o->length < 0) {
    apply(file, o);
    return;
  }
  for (int start = 0; start < o->length; start += SECTOR) {
    if (random_word() % 2) continue;
    int length = o->length - start < SECTOR ? o->length - start : SECTOR;
    operation part = {o->offset + start, length, o->bytes + start};
    apply(file, &part);
  }
}

static void fail(void) {
  disk.failed = 1;
  for (faulty_file *file = disk.files; file; file = file->next) {
    // The writes arrive in an arbitrary order, and some do not arrive.
    for (int i = file->count - 1; i > 0; --i) {
      int other = (int)(random_word() % (uint32_t)(i + 1));
      operation swapped = file->waiting[i];
      file->waiting[i] = file->waiting[other];
      file->waiting[other] = swapped;
    }
    for (int i = 0; i < file->count; ++i) switch (random_word() % 3) {
        case 0: apply(file, &file->waiting[i]); break;
        case 1: apply_torn(file, &file->waiting[i]); break;
      }
    forget(file);
  }
}

// Counts one operation. Returns whether there is still power.
static int works(void) {
  if (!disk.failed && ++disk.operations == disk.fails_at) fail();
  return !disk.failed;
}

static int wait_for_sync(faulty_file *file, const void *bytes, int length, sqlite3_int64 offset) {
  if (file->count == file->room) {
    int room = file->room ? 2 * file->room : 16;
    operation *more = realloc(file->waiting, (size_t)room * sizeof *more);
    if (!more) return SQLITE_NOMEM;
    file->waiting = more;
    file->room = room;
  }
  operation o = {offset, length, NULL};
  if (length > 0) {
    o.bytes = malloc((size_t)length);
    if (!o.bytes) return SQLITE_NOMEM;
    memcpy(o.bytes, bytes, (size_t)length);
  }
  file->waiting[file->count++] = o;
  return SQLITE_OK;
}

// MARK: Methods of a file

static int x_close(sqlite3_file *f) {
  faulty_file *file = (faulty_file *)f;
  for (faulty_file **link = &disk.files; *link; link = &(*link)->next)
    if (*link == file) {
      *link = file->next;
      break;
    }
  // If the power does not fail, unsynced writes reach the disk in the end.
  if (!disk.failed && !disk.lies)
    for (int i = 0; i < file->count; ++i) apply(file, &file->waiting[i]);
  forget(file);
  free(file->waiting);
  int code = file->real->pMethods->xClose(file->real);
  free(file->real);
  return code;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size) {
  faulty_file *file = (faulty_file *)f;
  int code = file->real->pMethods->xFileSize(file->real, size);
  for (int i = 0; i < file->count; ++i) {
    const operation *o = &file->waiting[i];
    if (o->length < 0)
      *size = o->offset < *size ? o->offset : *size;
    else if (o->offset + o->length > *size)
      *size = o->offset + o->length;
  }
  return code;
}

static int x_read(sqlite3_file *f, void *bytes, int length, sqlite3_int64 offset) {
  faulty_file *file = (faulty_file *)f;
  if (disk.failed) return SQLITE_IOERR_READ;
  int code = file->real->pMethods->xRead(file->real, bytes, length, offset);
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
  for (int i = 0; i < file->count; ++i) {
    const operation *o = &file->waiting[i];
    if (o->length < 0) {
      if (o->offset < offset + length) {
        sqlite3_int64 from = o->offset > offset ? o->offset - offset : 0;
        memset((char *)bytes + from, 0, (size_t)(length - from));
      }
      continue;
    }
    sqlite3_int64 start = o->offset > offset ? o->offset : offset;
    sqlite3_int64 end = o->offset + o->length < offset + length ? o->offset + o->length : offset + length;
    if (start < end) memcpy((char *)bytes + (start - offset), o->bytes + (start - o->offset), (size_t)(end - start));
  }
  sqlite3_int64 size = 0;
  x_size(f, &size);
  return offset + length <= size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *f, const void *bytes, int length, sqlite3_int64 offset) {
  return works() ? wait_for_sync((faulty_file *)f, bytes, length, offset) : SQLITE_IOERR_WRITE;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size) {
  return works() ? wait_for_sync((faulty_file *)f, NULL, -1, size) : SQLITE_IOERR_TRUNCATE;
}

static int x_sync(sqlite3_file *f, int flags) {
  faulty_file *file = (faulty_file *)f;
  if (!works()) return SQLITE_IOERR_FSYNC;
  if (disk.lies) return SQLITE_OK;
  for (int i = 0; i < file->count; ++i) {
    int code = apply(file, &file->waiting[i]);
    if (code != SQLITE_OK) return code;
  }
  forget(file);
  return file->real->pMethods->xSync(file->real, flags);
}

#define REAL(f) (((faulty_file *)(f))->real)
static int x_lock(sqlite3_file *f, int level) { return REAL(f)->pMethods->xLock(REAL(f), level); }
static int x_unlock(sqlite3_file *f, int level) { return REAL(f)->pMethods->xUnlock(REAL(f), level); }
static int x_reserved(sqlite3_file *f, int *is) { return REAL(f)->pMethods->xCheckReservedLock(REAL(f), is); }
static int x_control(sqlite3_file *f, int operation, void *argument) {
  // Size hints and memory mapping would bypass this disk.
  if (operation == SQLITE_FCNTL_SIZE_HINT || operation == SQLITE_FCNTL_MMAP_SIZE) return SQLITE_NOTFOUND;
  return REAL(f)->pMethods->xFileControl(REAL(f), operation, argument);
}
static int x_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
static int x_character(sqlite3_file *f) { return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f)); }
// Shared memory does not survive a power failure.
static int x_map(sqlite3_file *f, int page, int size, int extend, void volatile **at) {
  return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, at);
}
static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
  return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}
static void x_barrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
static int x_unmap(sqlite3_file *f, int delete) { return REAL(f)->pMethods->xShmUnmap(REAL(f), delete); }

static const sqlite3_io_methods methods = {
    2,       x_close,   x_read,   x_write,   x_truncate, x_sync, x_size,     x_lock,    x_unlock,
    x_reserved, x_control, x_sector, x_character, x_map, x_shm_lock, x_barrier, x_unmap, NULL, NULL};

static int x_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out) {
  (void)vfs;
  faulty_file *file = (faulty_file *)f;
  memset(file, 0, sizeof *file);
  if (disk.failed) return SQLITE_CANTOPEN;
  file->real = calloc(1, (size_t)disk.system->szOsFile);
  if (!file->real) return SQLITE_NOMEM;
  int code = disk.system->xOpen(disk.system, name, file->real, flags, out);
  if (code != SQLITE_OK) {
    free(file->real);
    return code;
  }
  file->base.pMethods = &methods;
  file->next = disk.files;
  disk.files = file;
  return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  (void)vfs;
  return works() ? disk.system->xDelete(disk.system, name, sync) : SQLITE_IOERR_DELETE;
}

int ttrl_faulty_disk(uint64_t seed, int64_t fails_at) {
  if (!disk.system) {
    disk.system = sqlite3_vfs_find(NULL);
    if (!disk.system) return SQLITE_ERROR;
    disk.vfs = *disk.system;
    disk.vfs.szOsFile = sizeof(faulty_file);
    disk.vfs.pNext = NULL;
    disk.vfs.zName = "faulty";
    disk.vfs.xOpen = x_open;
    disk.vfs.xDelete = x_delete;
  }
  disk.random = seed;
  disk.operations = 0;
  disk.fails_at = fails_at;
  disk.failed = 0;
  disk.lies = 0;
  return sqlite3_vfs_register(&disk.vfs, 0);
}

int64_t ttrl_faulty_disk_operations(void) { return disk.operations; }
int ttrl_faulty_disk_failed(void) { return disk.failed; }
void ttrl_faulty_disk_lies(void) { disk.lies = 1; }
